"""`croissant.json` of a dataset: what its card says, for programs. Croissant 1.1, a pure function of the index.

Croissant 1.1 knows files of any type, with checksums, but of what is in them it can only name columns of tables, paths
in JSON and files of archives (specification, "Extract"). So a shard is described as a file, and what lies in it in
words; no record set pretends to be read from one. Every record set there is can be loaded by any reader.
"""

from smearsynth.dataset.croissant.metadata import make_croissant

__all__ = ["make_croissant"]
