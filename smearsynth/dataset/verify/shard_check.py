"""The shards of a set, each checked in a process of its own: the file, its form, and every sample in it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.errors import UserError, first_line
from smearsynth.base.fixed_point import ONE
from smearsynth.base.hdf5 import UNREADABLE, open_to_read
from smearsynth.base.json_values import shown
from smearsynth.base.workers import Died, Tick, isolated
from smearsynth.dataset import layout
from smearsynth.dataset.index import ShardRecord
from smearsynth.dataset.index_schema import DatasetError, IndexFile, IndexSchema
from smearsynth.dataset.verify.sample_check import (
    MapCounts,
    Recount,
    StoredSample,
    column_errors,
    count_maps,
    derived_errors,
    map_errors,
)
from smearsynth.dataset.verify.set_files import content_errors
from smearsynth.scene.label_maps import derive
from smearsynth.scene.parasite_maps import derive_parasites
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.shards.format import SMALL, Header, sample_id
from smearsynth.shards.reader import ShardReader, dataset_names, form_errors, plain

_Columns = dict[str, npt.NDArray[Any]]
"""The small datasets of a shard, whole."""


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """A shard to check. bank: where there is one; labels: derive them from it again."""

    folder: Path
    file: IndexFile
    index: IndexSchema
    bank: Bank | None
    labels: bool


@dataclass(frozen=True, kw_only=True)
class CheckedShard:
    """digests: 32 bytes for each sample that can be read. record: what they hold, see `Recount.record`."""

    errors: tuple[DatasetError, ...]
    record: ShardRecord | None
    digests: bytes


@dataclass(frozen=True, kw_only=True)
class CheckedShards:
    """All shards of a set. records: by name, of those in which every sample could be read. samples: that could be read.
    digest: of the set, by their pixels; "" unless all could be read.
    """

    errors: list[DatasetError]
    records: dict[str, ShardRecord]
    samples: int
    digest: str


def check_shards(index: IndexSchema, tasks: Sequence[ShardTask], *, workers: int, tick: Tick) -> CheckedShards:
    """tasks: the shards that are there, in dataset order. tick hears of samples as they are done."""
    errors: list[DatasetError] = []
    records: dict[str, ShardRecord] = {}
    samples, whole = 0, hashlib.sha256()
    for task, checked in zip(tasks, isolated(check_shard, tasks, workers=workers, tick=tick), strict=True):
        name = task.file.name
        if isinstance(checked, Died):
            errors.append(DatasetError(name, f"cannot be read: {checked.how} while it was read, so it is damaged"))
            continue
        errors += checked.errors
        samples += len(checked.digests) // whole.digest_size
        whole.update(checked.digests)
        if checked.record:
            records[name] = checked.record
    complete = len(records) == len(index.shards)
    if complete and whole.hexdigest() != index.digest:
        errors.append(DatasetError(layout.INDEX, f"digest is {index.digest}, and the samples give {whole.hexdigest()}"))
    return CheckedShards(errors=errors, records=records, samples=samples, digest=whole.hexdigest() if complete else "")


def warm_up(bank: Bank | None) -> None:
    """Compiles what is compiled at its first call, so that forked processes find it done."""
    label, instance = np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint16)
    for array in (label, instance):
        array.flags.writeable = False  # as rows of a shard come
    count_maps(label, instance, np.zeros(0, np.int64))
    if bank:
        pose = [bank.class_id[0], 0, 0, 0, 0, 0, ONE, *[0] * (len(OBJECT_FIELDS) - 7)]
        derive(np.array([pose], np.int32), bank, label.shape)
        if bank.has_parasites:
            derive_parasites(np.array([pose], np.int32), bank, label.shape)


def check_shard(task: ShardTask, tick: Tick) -> CheckedShard:
    """Every error of a shard that is there. tick hears of samples as they are done."""
    name = task.file.name
    errors = [DatasetError(name, what) for what in content_errors(task.folder, task.file)]
    columns, wrong = _open(task)
    errors += [DatasetError(name, what) for what in wrong]
    recount, digests = Recount(task.bank), bytearray()
    if columns is not None:
        samples = _Samples(task, columns, recount, digests)
        for row in range(task.file.samples):
            errors += [DatasetError(name, what, samples.name(row)) for what in samples.errors(row)]
            tick(1)
    return CheckedShard(errors=tuple(errors), record=recount.record(task.file), digests=bytes(digests))


def _open(task: ShardTask) -> tuple[_Columns | None, list[str]]:
    """The small datasets, None where no row can be read; and what is wrong with the form."""
    file, header = task.file, task.index.header(str(task.file.split))
    try:
        with open_to_read(task.folder / file.name) as shard:
            strange = list(_header_errors(shard, header))
            wrong = list(_dataset_errors(shard, header, rows=file.samples, size=task.index.size))
            return None if wrong else {name: shard[name][:] for name in (*SMALL, "sample_id")}, strange + wrong
    except UserError as error:
        return None, [error.sentence]
    except UNREADABLE as error:
        return None, [f"cannot be read as a shard ({first_line(error)})"]


def _header_errors(file: h5py.File, header: Header) -> Iterator[str]:
    for name, value in asdict(header).items():
        there = plain(file.attrs[name]) if name in file.attrs else None
        if name != "fields" and there != value:
            yield f"attribute {name} is {shown(there)}, must be {shown(value)}"


def _dataset_errors(file: h5py.File, header: Header, *, rows: int, size: tuple[int, int]) -> Iterator[str]:
    """Where the datasets are not those of a shard of `rows` samples of `size` (height, width)."""
    for name in sorted(set(file) - set(dataset_names(header))):
        yield f"holds {shown(name)}, which is not of the format"
    errors = dict(form_errors(file, header, rows=rows, size=size))
    yield from errors.values()
    if "objects" not in errors and plain(file["objects"].attrs.get("fields")) != header.fields:
        yield "attribute `fields` of objects does not name the columns of the format"


class _CheckedMaps(NamedTuple):
    sample: StoredSample
    counts: MapCounts
    errors: list[str]


class _Samples:
    """The samples of a shard, read and checked one after the other.

    The looks of a scene share their maps and objects, which are checked at the first look; of the others only whether
    they are the same.
    """

    def __init__(self, task: ShardTask, columns: _Columns, recount: Recount, digests: bytearray) -> None:
        """recount, digests: take in every sample that can be read."""
        self._task, self._columns, self._recount, self._digests = task, columns, recount, digests
        self._reader = ShardReader(task.folder / task.file.name)
        self._looks = task.index.looks
        self._first: _CheckedMaps | None = None

    def name(self, row: int) -> str:
        """The id of a sample, as it must be."""
        scene, look = divmod(row, len(self._looks))
        return sample_id(str(self._task.file.split), self._task.file.first_scene + scene, look, self._looks)

    def errors(self, row: int) -> Iterator[str]:
        """All of sample `row`; rows are asked for in their order."""
        scene, look = divmod(row, len(self._looks))
        if look == 0:
            self._first = None
        due = {"sample_id": self.name(row).encode(), "scene": self._task.file.first_scene + scene, "look": look}
        for name, value in due.items():
            there = self._columns[name][row]
            if there != value:
                yield f"{name} is {there}, must be {value}"
        try:
            sample = self._read(row)
        except UNREADABLE as error:
            yield first_line(error).removeprefix(f"{self._reader.path}: ")
            return
        if sample.digest.encode() != self._columns["digest"][row]:
            yield "its pixels are not those of its `digest`"
        self._digests += bytes.fromhex(sample.digest)
        yield from column_errors(sample, self._columns["foreground"][row], self._columns["background"][row])
        maps = self._first
        if maps is not None and (differs := sample.differs_from(maps.sample)):
            first = self.name(row - look)
            yield f"its {' and '.join(differs)} are not those of {first}, the same scene in another look"
            maps = None
        if maps is None:
            maps = self._check_maps(sample)
            self._first = self._first or maps
        yield from maps.errors
        self._recount.add(sample, maps.counts)

    def _read(self, row: int) -> StoredSample:
        objects = self._reader.read("objects", row).view(np.int32)
        used = int(self._columns["object_count"][row])
        if used > len(objects):
            raise ValueError(f"`object_count` is {used}, and there are {len(objects)} rows")
        image, label = (self._reader.read(name, row).view(np.uint8) for name in ("image", "label"))
        instance = self._reader.read("instance", row).view(np.uint16)
        parasite = None
        if "parasite" in self._reader.names:
            parasite = self._reader.read("parasite", row).view(np.uint8)
        return StoredSample(image, label, instance, objects[:used], objects[used:], parasite)

    def _check_maps(self, sample: StoredSample) -> _CheckedMaps:
        counts, task = count_maps(sample.label, sample.instance, sample.classes), self._task
        errors = list(map_errors(sample, counts))
        if task.labels and task.bank:
            errors += derived_errors(sample, task.bank, str(task.file.split))
        return _CheckedMaps(sample, counts, errors)
