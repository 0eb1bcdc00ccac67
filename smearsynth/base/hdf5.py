"""Plain HDF5: what may be read of a file that somebody else has made.

A file can point out of itself, by links, external storage and virtual datasets, ask for filters that HDF5 would load
from elsewhere, and claim any size without holding a byte of it. What passes here is in the file itself, in one of the
two ways that this package writes, so that reading it needs memory in proportion to the file, or to one row.
"""

import math
import re
from errno import EACCES, EAGAIN
from pathlib import Path

import h5py
import numpy as np

from smearsynth.base.errors import UserError

UNREADABLE = (OSError, LookupError, AttributeError, ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError)
"""What h5py raises on files that are damaged or hold something else."""


def open_to_read(path: Path) -> h5py.File:
    """A file that is whole. Where the disk has no locks it is read without: what this package writes gets its name once
    it is whole, and is never changed. Raises UserError where another program holds it open to write, which may change
    it at any time, and what h5py raises where it cannot be read."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        number = re.search(r"unable to lock file, errno = (\d+)", str(error))
        if number is None:
            raise
        if int(number[1]) not in (EAGAIN, EACCES):
            return h5py.File(path, "r", locking=False)
        raise UserError(
            f"{path}: another program, such as a notebook, holds this file open to write and has locked it; close it "
            "there, or set HDF5_USE_FILE_LOCKING=FALSE if you know that it writes nothing"
        ) from None


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
