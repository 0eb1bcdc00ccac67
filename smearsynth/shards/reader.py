"""Reads shards, many processes and threads at once.

A chunk is fetched raw and inflated outside HDF5, whose one lock would otherwise make threads wait for each
other's decompression. A file is opened by the process that reads it, at its first read: one opened before a
fork breaks in the child.
"""

import math
import os
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from smearsynth.errors import UserError, first_line
from smearsynth.hdf5 import UNREADABLE, is_of, own_dataset
from smearsynth.shards.form import form_faults, header_of, names, plain
from smearsynth.shards.format import BIG, FORMAT_VERSION, Header

_REMEDY = "fetch it again, or build it again with --resume"


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
                return _frozen(dataset[row])
            skipped, chunk = dataset.id.read_direct_chunk((row,) + (0,) * len(shape))
            raw = chunk if skipped else _inflated(chunk, dataset.dtype.itemsize * math.prod(shape))
            return np.frombuffer(raw, dataset.dtype).reshape(shape)
        except (*UNREADABLE, isal_zlib.error) as error:  # type: ignore[misc]  # isal types its error as an instance
            raise self._damaged(f"row {row} of {name}", error) from error

    def objects(self, row: int) -> npt.NDArray[np.int32]:
        """i4 (n, F): the rows of `objects` in use; columns as `header.fields` says."""
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
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: put it back, or build it again with --resume.") from None
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
    if version != FORMAT_VERSION or "label" not in file:
        raise UserError(
            f"{path} is no shard of format version {FORMAT_VERSION} (it says {version!r:.60}): use the release that "
            "wrote it, or build the set again with this one."
        )
    header = header_of(file)
    there = [name for name in names(len(header.fields)) if name in file]
    label = own_dataset(file, "label")
    if label.ndim != 3 or not is_of(label, "u1"):
        raise ValueError(f"label is {label.dtype} {label.shape}, must be u1 (N, H, W)")
    rows, *size = label.shape
    for name, fault in form_faults(file, rows=rows, size=tuple(size), columns=len(header.fields)):
        if name in there:
            raise ValueError(fault)
    return _Opened(file, os.getpid(), header, {name: file[name] for name in there})


def _inflated(chunk: bytes, size: int) -> bytes:
    """A deflated chunk; at most `size` bytes and one are ever made, whatever a chunk of someone else holds."""
    stream = isal_zlib.decompressobj()
    raw = stream.decompress(chunk, size + 1)
    if not stream.eof:
        raise ValueError(f"it does not end after {size} bytes")
    return raw


def _frozen(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    array.flags.writeable = False
    return array
