"""Whether a file has the form of a shard: held against it before a row is read, for it may be someone else's."""

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_args, get_type_hints

import h5py

from smearsynth.hdf5 import is_contiguous, is_deflated_by_row, is_of, own_dataset
from smearsynth.shards.format import BIG, MAX_OBJECTS, SMALL, SMALL_IMPORTED, Header

NAMES = (*BIG, *SMALL, "sample_id")
"""Datasets of a shard that was built."""
NAMES_IMPORTED = ("image", "label", *SMALL_IMPORTED, "sample_id")
"""Datasets of a shard that was imported."""
_TYPES = {**BIG, **SMALL, **SMALL_IMPORTED}
_LONGEST_ID = 64
_MOST_ROW_BYTES = 2**28
"""Of one inflated row; the colours of the largest image that is ever decoded take less."""


def header_of(file: h5py.File) -> Header:
    """The attributes of a shard. Raises ValueError where one is missing, of another type, or not printable."""
    told = {name: plain(file.attrs[name]) for name in _KINDS if name in file.attrs}
    told["fields"] = plain(own_dataset(file, "objects").attrs.get("fields")) if "objects" in file else ()
    for name, kind in _KINDS.items():
        if not _is(told.get(name), kind):
            raise ValueError(f"attribute {name} is {told.get(name)!r:.60}, which the format does not allow")
    if not told["looks"]:
        raise ValueError("attribute looks names none")
    return Header(**told)


def form_faults(file: h5py.File, *, rows: int, size: tuple[int, ...], columns: int) -> Iterator[tuple[str, str]]:
    """Each dataset that is not as the format says, or missing, and what it is instead.

    rows: samples. size: (H, W). columns: of `objects`, 0 in an imported set.
    """
    shapes: dict[str, tuple[int, ...]] = {
        "image": (rows, *size, 3),
        "label": (rows, *size),
        "instance": (rows, *size),
        "objects": (rows, columns),
        "foreground": (rows, 9),
    }
    for name in names(columns):
        try:
            fault = _dataset_fault(own_dataset(file, name), name, shapes.get(name, (rows,)))
        except ValueError as error:
            fault = str(error)
        if fault:
            yield name, fault


def names(columns: int) -> tuple[str, ...]:
    """The datasets of a shard, by the columns of its `objects`."""
    return NAMES if columns else NAMES_IMPORTED


def plain(value: Any) -> Any:
    """An HDF5 attribute as Python has it: tuples, ints, floats, str."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


_KINDS = get_type_hints(Header)
assert _KINDS.keys() == {field.name for field in fields(Header)}


def _is(value: Any, kind: Any) -> bool:
    if get_args(kind):
        return isinstance(value, tuple) and all(_is(item, get_args(kind)[0]) for item in value)
    if kind is str:
        return isinstance(value, str) and value.isprintable()
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def _dataset_fault(data: h5py.Dataset, name: str, due: tuple[int, ...]) -> str:
    if name == "objects" and data.ndim == 3:
        due = (due[0], min(data.shape[1], MAX_OBJECTS), due[1])
    kind = _TYPES.get(name)
    of_kind = is_of(data, kind) if kind else data.dtype.kind == "S" and data.dtype.itemsize <= _LONGEST_ID
    if not of_kind or data.shape != due:
        return f"{name} is {data.dtype} {data.shape}, must be {kind or 'S'} {due}"
    if math.prod(data.shape[1:]) * data.dtype.itemsize > _MOST_ROW_BYTES:
        return f"{name} is {data.dtype} {data.shape}, larger than any sample"
    if not (is_contiguous(data) or (name in BIG and is_deflated_by_row(data))):
        return f"{name} is not stored as the format says: contiguous, or one deflated chunk per sample"
    return ""
