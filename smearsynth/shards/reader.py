"""Reads shards, by many processes and threads at once, those of others too.

A chunk is fetched raw and inflated outside HDF5, whose one lock would otherwise make threads wait for each other's
decompression. A file is opened by the process that reads it, at its first read: one opened before a fork breaks in the
child. A shard may be someone else's, so its form is held against `shards.format` before a row is read, and reading
needs no more memory than the file has bytes, or one row of it.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from smearsynth.base.errors import UserError, first_line
from smearsynth.base.hdf5 import UNREADABLE, is_contiguous, is_deflated_by_row, is_of, open_to_read, own_dataset
from smearsynth.shards.format import (
    BIG,
    FORMAT_VERSION,
    MAX_OBJECTS,
    SMALL,
    SMALL_CELLS,
    SMALL_IMPORTED,
    WITH_PARASITES,
    Header,
)

_TYPES = {**BIG, **SMALL, **SMALL_IMPORTED}
_KINDS = get_type_hints(Header)
_LONGEST_ID = 64
_MOST_ROW_BYTES = 2**28
"""Of one inflated row; the colours of the largest image that is ever decoded take less."""
_REMEDY = "fetch it again, or resume its build"


class _Opened(NamedTuple):
    """A file as the process `owner` opened it, `datasets` those of the format; asking HDF5 for one anew costs more than
    reading a label."""

    file: h5py.File
    owner: int
    header: Header
    datasets: dict[str, h5py.Dataset]


class NoSuchRowError(UserError, IndexError):
    """A row is asked for that a shard does not have: the user's index says more of it than is true."""


class ShardReader:
    """One shard. Cheap to make, to pickle and to carry over a fork; opens nothing before the first read.

    Everything raises UserError where the file is no shard, damaged, or points out of itself.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._opened: _Opened | None = None

    def __reduce__(self) -> tuple[type["ShardReader"], tuple[Path]]:
        return ShardReader, (self.path,)

    def __len__(self) -> int:
        """Number of samples."""
        return int(self._dataset("label").shape[0])

    @property
    def header(self) -> Header:
        """The shard's attributes."""
        return self._mine().header

    @property
    def names(self) -> frozenset[str]:
        """Datasets of the format that are there; an imported set has others than one that was built."""
        return frozenset(self._mine().datasets)

    def read(self, name: str, row: int) -> npt.NDArray[np.generic]:
        """Row `row` (0 to len - 1) of a big dataset, as `shards.format` gives dtype and shape; read-only."""
        dataset = self._dataset(name)
        rows, *shape = dataset.shape
        if not 0 <= row < rows:
            raise NoSuchRowError(f"{self.path} has rows 0 to {rows - 1}, not {row}.")
        try:
            if dataset.chunks is None:
                whole = dataset[row]
                whole.flags.writeable = False
                return whole
            skipped, chunk = dataset.id.read_direct_chunk((row,) + (0,) * len(shape))
            raw = chunk if skipped else _inflated(chunk, dataset.dtype.itemsize * math.prod(shape))
            return np.frombuffer(raw, dataset.dtype).reshape(shape)
        except (*UNREADABLE, isal_zlib.error) as error:  # type: ignore[misc]  # isal types its error as an instance
            raise self._damaged(f"row {row} of {name}", error) from error

    def objects(self, row: int) -> npt.NDArray[np.int32]:
        """int32 (n, F): the rows of `objects` in use; columns as `header.fields` says."""
        used, objects = int(self.column("object_count")[row]), self.read("objects", row)
        if used > len(objects):
            raise UserError(
                f"{self.path}: `object_count` of row {row} is {used}, and it has {len(objects)}; {_REMEDY}."
            )
        return objects[:used].view(np.int32)

    def column(self, name: str) -> npt.NDArray[np.generic]:
        """A small dataset as a whole, (N,) or (N, 9); names and digests as str."""
        assert name not in BIG, "big datasets are read row by row"
        dataset = self._dataset(name)
        try:
            data = dataset[:]
            if name == "look" and data.max(initial=0) >= len(self.header.looks):
                raise ValueError(f"there is no look {data.max()}")
            return data.astype(str) if data.dtype.kind == "S" else data
        except UNREADABLE as error:
            raise self._damaged(name, error) from error

    def _damaged(self, what: str, error: BaseException) -> UserError:
        return UserError(f"{self.path}: {what} is damaged ({first_line(error)}); {_REMEDY}.")

    def _dataset(self, name: str) -> h5py.Dataset:
        datasets = self._mine().datasets
        if name not in datasets:
            raise UserError(f"{self.path} has no dataset {name}; {_REMEDY}.")
        return datasets[name]

    def _mine(self) -> _Opened:
        if self._opened is None or self._opened.owner != os.getpid():
            self._opened = _open(self.path)
        return self._opened


def _open(path: Path) -> _Opened:
    try:
        if not path.resolve().is_relative_to(path.parent.resolve()):
            raise ValueError("it is a link that leads out of its folder")
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")
        file = open_to_read(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: put it back, or resume its build.") from None
    except UserError:
        raise
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as a shard ({first_line(error)}); {_REMEDY}.") from error
    try:
        return _checked(file, path)
    except UserError:
        file.close()
        raise
    except UNREADABLE as error:
        file.close()
        raise UserError(f"{path} is no shard ({first_line(error)}); {_REMEDY}.") from error


def _checked(file: h5py.File, path: Path) -> _Opened:
    """The datasets that are there, none of which needs more memory than the file has bytes, or one row of it."""
    version = plain(file.attrs.get("format_version"))
    if version not in (FORMAT_VERSION, WITH_PARASITES) or "label" not in file:
        raise UserError(
            f"{path} is no shard of format version {FORMAT_VERSION} or {WITH_PARASITES} (it says "
            f"{version!r:.60}): use the release that wrote it, or build the set again with this one."
        )
    header = _read_header(file)
    there = [name for name in dataset_names(header) if name in file]
    label = own_dataset(file, "label")
    if label.ndim != 3 or not is_of(label, "u1"):
        raise ValueError(f"label is {label.dtype} {label.shape}, must be u1 (N, H, W)")
    rows, *size = label.shape
    for name, error in form_errors(file, header, rows=rows, size=tuple(size)):
        if name in there:
            raise ValueError(error)
    return _Opened(file, os.getpid(), header, {name: file[name] for name in there})


def _inflated(chunk: bytes, size: int) -> bytes:
    """A deflated chunk; at most `size` bytes and one are ever made, whatever a chunk of someone else holds."""
    stream = isal_zlib.decompressobj()
    raw = stream.decompress(chunk, size + 1)
    if not stream.eof:
        raise ValueError(f"it does not end after {size} bytes")
    return raw


def _read_header(file: h5py.File) -> Header:
    """Raises ValueError where an attribute is missing, of another type, or not printable."""
    values = {name: plain(file.attrs[name]) for name in _KINDS if name in file.attrs}
    values["fields"] = plain(own_dataset(file, "objects").attrs.get("fields")) if "objects" in file else ()
    for name, kind in _KINDS.items():
        if not _is(values.get(name), kind):
            raise ValueError(f"attribute {name} is {values.get(name)!r:.60}, which the format does not allow")
    if not values["looks"]:
        raise ValueError("attribute looks names none")
    return Header(**values)


def form_errors(file: h5py.File, header: Header, *, rows: int, size: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """The name of each dataset that is missing or not as the format says, and a sentence on it.

    rows: samples. size: (H, W).
    """
    shapes: dict[str, tuple[int, ...]] = {
        "image": (rows, *size, 3),
        "label": (rows, *size),
        "instance": (rows, *size),
        "parasite": (rows, *size),
        "foreground": (rows, 9),
    }
    for name in dataset_names(header):
        try:
            error = _form_error(own_dataset(file, name), name, len(header.fields), shapes.get(name, (rows,)))
        except ValueError as damaged:
            error = str(damaged)
        if error:
            yield name, error


def _form_error(data: h5py.Dataset, name: str, columns: int, shape: tuple[int, ...]) -> str:
    if name == "objects":  # any number of rows will do
        shape = (*shape, min(data.shape[1], MAX_OBJECTS) if data.ndim == 3 else 0, columns)
    kind = _TYPES.get(name)
    of_kind = is_of(data, kind) if kind else data.dtype.kind == "S" and data.dtype.itemsize <= _LONGEST_ID
    if not of_kind or data.shape != shape:
        return f"{name} is {data.dtype} {data.shape}, must be {kind or 'S'} {shape}"
    if math.prod(data.shape[1:]) * data.dtype.itemsize > _MOST_ROW_BYTES:
        return f"{name} is {data.dtype} {data.shape}, larger than any sample"
    if not (is_contiguous(data) or (name in BIG and is_deflated_by_row(data))):
        return f"{name} is not stored as the format says: contiguous, or one deflated chunk per sample"
    return ""


def dataset_names(header: Header) -> tuple[str, ...]:
    """The datasets of a shard that says this of itself."""
    if not header.fields:
        return ("image", "label", *SMALL_IMPORTED, "sample_id")
    if header.imported:
        return ("image", "label", "instance", "objects", *SMALL_IMPORTED, *SMALL_CELLS, "sample_id")
    big = (name for name in BIG if name != "parasite" or header.has_parasites)
    return (*big, *SMALL, "sample_id")


def plain(value: Any) -> Any:
    """An HDF5 attribute as Python has it: tuples, ints, floats, str."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(value) if isinstance(value, list) else value


def _is(value: Any, kind: Any) -> bool:
    if get_args(kind):
        return isinstance(value, tuple) and all(_is(item, get_args(kind)[0]) for item in value)
    if kind is str:
        return isinstance(value, str) and value.isprintable()
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
