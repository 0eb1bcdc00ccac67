"""Shards: HDF5 files of smears that any HDF5 tool reads. Light to import; of the package only taxonomy."""
