"""Writes shards: samples are packed (`pack`), by any thread, and appended (`ShardWriter`), one after the other.

Samples are deflated before they meet HDF5, because that library is one big lock and its own zlib is several times
slower than ISA-L at the same size.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from smearsynth.shards.format import (
    BIG,
    CODECS,
    MAX_OBJECTS,
    OBJECT_COLUMNS,
    SMALL,
    SMALL_CELLS,
    SMALL_IMPORTED,
    Header,
    ImportedSample,
    ShardSample,
)

LEVEL = 1
"""Of ISA-L's levels 0 to 3: on 108 natural smears of real cells 0 gave files a third larger in the same time,
2 the same size, 3 took three times as long for no less; zlib's level 1 took five times as long for 2 % less.
"""
_LEVELS = {"objects": 0}
"""Where setting LEVEL up takes longer than deflating: 16 us against 3 us, for 0.3 % of a shard's size."""
_LAYOUT = ("v108", "v108")
"""Of HDF5 1.8 (2008), which every tool in use reads; it has checksums on headers, the oldest layout has none."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A sample ready for the disk: the bytes of its big datasets, and the values of its small ones."""

    chunks: dict[str, bytes]
    values: dict[str, object]


def pack(sample: ShardSample, *, max_objects: int, codec: str) -> Packed:
    """Pads `objects` to max_objects rows and deflates the big datasets. Takes no lock, so threads may do it at once.

    Raises ValueError for a sample of more objects.
    """
    n, objects = len(sample.objects), _padded(sample.objects, max_objects, sample.sample_id)
    arrays: dict[str, npt.NDArray[Any]] = {"image": sample.image, "label": sample.label}
    arrays |= {"instance": sample.instance, "objects": objects}
    if sample.parasite is not None:
        arrays["parasite"] = sample.parasite
    values = {
        "object_count": n,
        "foreground": np.bincount(sample.objects[:, 0], minlength=10)[1:10],
        "background": sample.background,
        "scene": sample.scene,
        "look": sample.look,
        "digest": sample.digest.encode(),
        "sample_id": sample.sample_id.encode(),
    }
    return Packed(chunks=_chunks(arrays, codec), values=values)


def _padded(objects: npt.NDArray[np.int32], rows: int, sample_id: str) -> npt.NDArray[np.int32]:
    n, fields = objects.shape
    if n > min(rows, MAX_OBJECTS):
        raise ValueError(f"{sample_id} holds {n} objects; the shard has rows for {rows}.")
    padded = np.zeros((rows, fields), BIG["objects"])
    padded[:n] = objects
    return padded


def pack_imported(sample: ImportedSample, *, max_objects: int, codec: str) -> Packed:
    """As `pack`, for an imported set."""
    arrays: dict[str, npt.NDArray[Any]] = {"image": sample.image, "label": sample.label}
    values: dict[str, object] = {
        "scene": sample.scene,
        "look": 0,
        "group": sample.group,
        "digest": sample.digest.encode(),
        "sample_id": sample.sample_id.encode(),
    }
    if sample.instance is not None and sample.objects is not None:
        arrays |= {"instance": sample.instance, "objects": _padded(sample.objects, max_objects, sample.sample_id)}
        values["object_count"] = len(sample.objects)
    return Packed(chunks=_chunks(arrays, codec), values=values)


def _chunks(arrays: Mapping[str, npt.NDArray[Any]], codec: str) -> dict[str, bytes]:
    raw = {name: np.ascontiguousarray(array, BIG[name]) for name, array in arrays.items()}
    if codec == "gzip":
        return {name: isal_zlib.compress(array, _LEVELS.get(name, LEVEL)) for name, array in raw.items()}
    return {name: array.tobytes() for name, array in raw.items()}


_NEVER_CLOSED: list["ShardWriter"] = []
"""Writers that were given up, held so that nothing closes their files."""


class ShardWriter:
    """Writes one shard, row by row. A context manager: the file is whole at its end, or empty where it raises, so
    `path` is best a place that `files.published` gives.
    """

    def __init__(
        self, path: Path, *, header: Header, rows: int, size: tuple[int, int], max_objects: int, codec: str
    ) -> None:
        """rows: samples that will be appended. size: (H, W). max_objects: rows of `objects` of each; unused for
        a set whose header has no `fields`. codec: one of CODECS.
        """
        assert codec in CODECS
        self._path, self._codec, self._rows = path, codec, rows
        shapes: dict[str, tuple[int, ...]] = {"image": (*size, 3), "label": size}
        if header.fields:
            shapes |= {"instance": size, "objects": (max_objects, len(header.fields))}
        if header.has_parasites:
            shapes["parasite"] = size
        of_imported = SMALL_IMPORTED | SMALL_CELLS if header.fields else SMALL_IMPORTED
        self._types = of_imported if header.imported else SMALL
        self._values: dict[str, list[object]] = {name: [] for name in ("sample_id", *self._types)}
        self._file = h5py.File(path, "w", libver=_LAYOUT)
        self._big = {name: self._create(name, rows, shape) for name, shape in shapes.items()}
        if header.fields:
            units, meanings = zip(*(OBJECT_COLUMNS.get(name, ("", "")) for name in header.fields), strict=True)
            for about, values in (("fields", header.fields), ("units", units), ("meanings", meanings)):
                self._big["objects"].attrs[about] = list(values)
        for name, value in asdict(header).items():
            if name != "fields":
                self._file.attrs[name] = list(value) if isinstance(value, tuple) else value

    def _create(self, name: str, rows: int, shape: Sequence[int]) -> h5py.Dataset:
        layout = {"chunks": (1, *shape), "compression": "gzip", "compression_opts": LEVEL}
        return self._file.create_dataset(
            name, (rows, *shape), BIG[name], track_times=False, **(layout if self._codec == "gzip" else {})
        )

    def append(self, packed: Packed) -> None:
        """The next row."""
        row = len(self._values["sample_id"])
        assert row < self._rows, "more rows than the shard was made for"
        for name, chunk in packed.chunks.items():
            dataset = self._big[name]
            if self._codec == "gzip":
                dataset.id.write_direct_chunk((row,) + (0,) * (dataset.ndim - 1), chunk)
            else:
                dataset[row] = np.frombuffer(chunk, dataset.dtype).reshape(dataset.shape[1:])
        for name, value in packed.values.items():
            self._values[name].append(value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            if self._file:
                # It is cut, which gives its room on the disk back, but not closed: HDF5 can crash on closing a file
                # that the disk did not take.
                _NEVER_CLOSED.append(self)
                os.truncate(self._path, 0)

    def _finish(self) -> None:
        assert len(self._values["sample_id"]) == self._rows, "fewer rows than the shard was made for"
        try:
            small = [
                self._file.create_dataset(name, data=np.array(values, self._types.get(name)), track_times=False)
                for name, values in self._values.items()
            ]
            # What a dataset holds back is written when it is closed, and if that fails h5py tells nobody.
            for dataset in (*self._big.values(), *small):
                dataset.flush()
            self._file.flush()
            self._file.close()
        except RuntimeError as error:  # what h5py raises where the disk takes no more at the end
            raise OSError(errno.EIO, "cannot be written to its end; is the disk full?", str(self._path)) from error
