"""Whether a dataset holds what its index says: all errors of a set that may be damaged, or made by somebody else.

    set_files     files against their names and checksums; bank, lock, recipe and counts against the index
    shard_check   one shard: its checksum, its form, and every sample in it
    sample_check  one sample: pixels, maps and object rows against one another, and against the bank

Every check gives all errors it finds, as sentences, and stops at none; `verbs/verify.py` puts them together. A file
can make HDF5 crash, so shards and banks are opened in processes of their own. What only a build that goes on reads
(`.smearsynth`) is no part of a set and is not looked at; nor is white space in `index.json`. Figures that no shard
shows, such as `dropped`, are guarded by the index's seal alone.
"""
