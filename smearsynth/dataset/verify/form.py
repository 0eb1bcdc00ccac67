"""The form of a shard: its attributes, and datasets of the types, shapes and layouts of the format and no others.

A file of someone else can point out of itself, by links, external storage or virtual datasets, ask for filters that
HDF5 would load from elsewhere, or claim any size. All that is refused here, before a row is read.
"""

from collections.abc import Iterator
from dataclasses import asdict

import h5py
import numpy as np

from smearsynth.dataset.differences import shown
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.shards.format import BIG, MAX_OBJECTS, SMALL, Header
from smearsynth.shards.reader import plain
from smearsynth.taxonomy import CLASSES

UNREADABLE = (OSError, LookupError, AttributeError, ValueError, TypeError, RuntimeError, ArithmeticError, MemoryError)
"""What h5py raises on files that are damaged or hold something else."""
_LONGEST_ID = 64


def header_faults(file: h5py.File, header: Header) -> Iterator[str]:
    """Where the attributes are not those of `header`."""
    due = asdict(header)
    fields = due.pop("fields")
    for name, value in due.items():
        there = plain(file.attrs[name]) if name in file.attrs else None
        if there != value:
            yield f"attribute {name} is {shown(there)}, must be {shown(value)}"
    if "objects" in file and plain(file["objects"].attrs.get("fields")) != fields:
        yield "attribute `fields` of objects does not name the columns of the format"


def form_faults(file: h5py.File, rows: int, size: tuple[int, int]) -> Iterator[str]:
    """Where the datasets are not those of a shard of `rows` samples of `size` (height, width)."""
    shapes: dict[str, tuple[int, ...]] = {
        "image": (rows, *size, 3),
        "label": (rows, *size),
        "instance": (rows, *size),
        "foreground": (rows, len(CLASSES) - 1),
    }
    for name in sorted(set(file) - {*BIG, *SMALL, "sample_id"}):
        yield f"holds {shown(name)}, which is not of the format"
    for name in (*BIG, *SMALL, "sample_id"):
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            yield f"has no dataset {name} of its own"
        elif not isinstance(file[name], h5py.Dataset):
            yield f"{name} is no dataset"
        else:
            yield from _dataset_faults(file[name], name, shapes.get(name, (rows,)))


def _dataset_faults(data: h5py.Dataset, name: str, shape: tuple[int, ...]) -> Iterator[str]:
    if name == "objects":
        shape = (*shape, min(data.shape[1], MAX_OBJECTS), len(OBJECT_FIELDS))
    kind = BIG.get(name) or SMALL.get(name)
    of_kind = data.dtype == np.dtype(kind) if kind else data.dtype.kind == "S" and data.dtype.itemsize <= _LONGEST_ID
    if not of_kind or data.shape != shape:
        yield f"{name} is {data.dtype} {data.shape}, must be {kind or 'S'} {shape}"
    elif data.external or data.is_virtual:
        yield f"{name} lies in another file"
    elif not _is_plain(data, name in BIG):
        yield f"{name} is not stored as the format says: contiguous, or one deflated chunk per sample"


def _is_plain(data: h5py.Dataset, big: bool) -> bool:
    created = data.id.get_create_plist()
    filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
    if data.chunks is None:
        return not filters and created.get_layout() == h5py.h5d.CONTIGUOUS
    return big and data.chunks == (1, *data.shape[1:]) and filters == [h5py.h5z.FILTER_DEFLATE]
