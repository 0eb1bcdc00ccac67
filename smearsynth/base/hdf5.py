"""Plain HDF5: what may be read of a file that somebody else has made.

A file can point out of itself, by links, external storage and virtual datasets, ask for filters that HDF5 would load
from elsewhere, and claim any size without holding a byte of it. What passes here is in the file itself, in one of the
two ways that this package writes, so that reading it needs memory in proportion to the file, or to one row.
"""

import math

import h5py
import numpy as np

UNREADABLE = (OSError, LookupError, AttributeError, ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError)
"""What h5py raises on files that are damaged or hold something else."""


def own_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """The dataset `name` of this very file. Raises ValueError that says what is there instead."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"has no dataset {name} of its own")
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise ValueError(f"{name} is no dataset")
    if data.external or data.is_virtual:
        raise ValueError(f"{name} lies in another file")
    return data


def is_of(data: h5py.Dataset, kind: str) -> bool:
    """Whether the values have a NumPy type, bit for bit: HDF5 knows integers that use some bits of their bytes, too."""
    return data.id.get_type() == h5py.h5t.py_create(np.dtype(kind))


def is_contiguous(data: h5py.Dataset) -> bool:
    """Whether all values are there, in one unfiltered piece of the file."""
    created = data.id.get_create_plist()
    size = math.prod(data.shape) * data.dtype.itemsize
    return (
        created.get_layout() == h5py.h5d.CONTIGUOUS
        and created.get_nfilters() == 0
        and data.id.get_storage_size() == size
        and (size == 0 or data.id.get_offset() is not None)
    )


def is_deflated_by_row(data: h5py.Dataset) -> bool:
    """Whether each row is a chunk of its own, deflated and nothing else."""
    created = data.id.get_create_plist()
    filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
    return data.chunks == (1, *data.shape[1:]) and filters == [h5py.h5z.FILTER_DEFLATE]
