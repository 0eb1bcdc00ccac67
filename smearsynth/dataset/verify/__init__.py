"""Whether a dataset is what its index says: every check of a set that may be damaged, or made by someone else.

Each module checks one thing and gives every fault it finds, as sentences; `verbs/verify.py` puts them together. What
HDF5 has to open is opened in a process of its own (`contained`), for a file can be made to crash that library.
"""
