"""Reads shards, many processes and threads at once.

A chunk is fetched raw and inflated outside HDF5, whose one lock would otherwise make threads wait for each
other's decompression. A file is opened by the process that reads it, at its first read: one opened before a
fork breaks in the child.
"""

import dataclasses
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from smearsynth.errors import UserError
from smearsynth.shards.format import BIG, FORMAT_VERSION, Header


class _Opened(NamedTuple):
    """A file as the process `owner` opened it; asking HDF5 for a dataset anew costs more than reading a label."""

    file: h5py.File
    owner: int
    datasets: dict[str, h5py.Dataset]


class ShardReader:
    """One shard. Cheap to make, to pickle and to carry over a fork; opens nothing before the first read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._opened: _Opened | None = None

    def __reduce__(self) -> tuple[type["ShardReader"], tuple[Path]]:
        return ShardReader, (self.path,)

    def __len__(self) -> int:
        """Number of samples."""
        return int(self._open()["label"].shape[0])

    @property
    def header(self) -> Header:
        """The shard's attributes."""
        file = self._open()
        known: set[str] = {field.name for field in dataclasses.fields(Header)} & set(file.attrs)
        columns = plain(file["objects"].attrs["fields"]) if "objects" in file else ()
        return Header(fields=columns, **{name: plain(file.attrs[name]) for name in known})

    @property
    def names(self) -> frozenset[str]:
        """Datasets in the file; an imported set may lack `instance` and `objects`."""
        return frozenset(self._open())

    def read(self, name: str, row: int) -> npt.NDArray[np.generic]:
        """Row `row` (0 to len - 1) of a big dataset, as `shards.format` gives dtype and shape; read-only."""
        dataset = self._dataset(name)
        rows, *shape = dataset.shape
        if not 0 <= row < rows:
            raise IndexError(f"{self.path} has rows 0 to {rows - 1}, not {row}.")
        if dataset.chunks != (1, *shape):
            return _frozen(dataset[row])
        size = dataset.dtype.itemsize * math.prod(shape)
        try:
            skipped, chunk = dataset.id.read_direct_chunk((row,) + (0,) * len(shape))
            raw = chunk if skipped else _inflated(chunk, size)
            return np.frombuffer(raw, dataset.dtype).reshape(shape)
        except (OSError, ValueError, isal_zlib.error) as error:  # type: ignore[misc]  # isal types its error as an instance
            raise UserError(
                f"{self.path}: row {row} of {name} is damaged ({error}); build it again with --resume."
            ) from error

    def objects(self, row: int) -> npt.NDArray[np.int32]:
        """i4 (n, F): the rows of `objects` in use; columns as `header.fields` says."""
        used = int(self._open()["object_count"][row])
        return self.read("objects", row)[:used].view(np.int32)

    def column(self, name: str) -> npt.NDArray[np.generic]:
        """A small dataset as a whole, (N,) or (N, 9); names and digests as str."""
        assert name not in BIG, "big datasets are read row by row"
        data = self._open()[name][:]
        return data.astype(str) if data.dtype.kind == "S" else data

    def _open(self) -> h5py.File:
        return self._mine().file

    def _dataset(self, name: str) -> h5py.Dataset:
        file, _, datasets = self._mine()
        if name not in datasets:
            datasets[name] = file[name]
        return datasets[name]

    def _mine(self) -> _Opened:
        if self._opened is None or self._opened.owner != os.getpid():
            self._opened = _Opened(_open(self.path), os.getpid(), {})
        return self._opened


def _open(path: Path) -> h5py.File:
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: put it back, or build it again with --resume.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read as a shard ({error}); build it again with --resume.") from error
    version = file.attrs.get("format_version")
    if version != FORMAT_VERSION or "label" not in file:
        file.close()
        raise UserError(
            f"{path} is no shard of format version {FORMAT_VERSION} (it says {version}): use the release that "
            "wrote it, or build the set again with this one."
        )
    return file


def _inflated(chunk: bytes, size: int) -> bytes:
    """A deflated chunk; at most `size` bytes and one are ever made, whatever a chunk of someone else holds."""
    stream = isal_zlib.decompressobj()
    raw = stream.decompress(chunk, size + 1)
    if not stream.eof:
        raise ValueError(f"it does not end after {size} bytes")
    return raw


def plain(value: Any) -> Any:
    """An HDF5 attribute as Python has it: tuples, ints, floats, str."""
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return value.item() if isinstance(value, np.generic) else value


def _frozen(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    array.flags.writeable = False
    return array
