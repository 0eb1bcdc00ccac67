"""The form of a shard against the index: its attributes, and datasets of the format and no others.

One shard against the index: the file, its form, and every sample in it.

All shards of a set, each checked in a process of its own.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.contained import Died, Tick, in_order
from smearsynth.base.errors import first_line
from smearsynth.base.fixed_point import ONE
from smearsynth.base.hdf5 import UNREADABLE
from smearsynth.base.json_values import shown
from smearsynth.dataset import layout
from smearsynth.dataset.index import ShardRecord
from smearsynth.dataset.verify.sample_check import (
    Recount,
    Sample,
    Survey,
    column_faults,
    derived_faults,
    map_faults,
    survey,
)
from smearsynth.dataset.verify.set_files import content_faults
from smearsynth.dataset.verify.stated_index import Fault, File, Stated
from smearsynth.scene.label_maps import derive
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.shards.format import SMALL, Header, sample_id
from smearsynth.shards.reader import NAMES, ShardReader, form_faults, plain


def header_faults(file: h5py.File, header: Header) -> Iterator[str]:
    """Where the attributes are not those of `header`."""
    for name, value in asdict(header).items():
        there = plain(file.attrs[name]) if name in file.attrs else None
        if name != "fields" and there != value:
            yield f"attribute {name} is {shown(there)}, must be {shown(value)}"


def dataset_faults(file: h5py.File, header: Header, *, rows: int, size: tuple[int, int]) -> Iterator[str]:
    """Where the datasets are not those of a shard of `rows` samples of `size` (height, width)."""
    for name in sorted(set(file) - set(NAMES)):
        yield f"holds {shown(name)}, which is not of the format"
    faults = dict(form_faults(file, rows=rows, size=size, columns=len(header.fields)))
    yield from faults.values()
    if "objects" not in faults and plain(file["objects"].attrs.get("fields")) != header.fields:
        yield "attribute `fields` of objects does not name the columns of the format"


_Columns = dict[str, npt.NDArray[Any]]
"""The small datasets of a shard, whole."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A shard to check. bank: where there is one; labels: derive them from it again."""

    folder: Path
    file: File
    stated: Stated
    bank: Bank | None
    labels: bool


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check of a shard found. digests: 32 bytes for each sample that can be read; record: what they hold, see
    `Recount.record`."""

    faults: tuple[Fault, ...]
    record: ShardRecord | None
    digests: bytes


def check_shard(task: Task, tick: Tick) -> Checked:
    """Every fault of a shard that is there. tick hears of samples as they are done."""
    name = task.file.name
    faults = [Fault(name, what) for what in content_faults(task.folder, task.file)]
    columns, wrong = _open(task)
    faults += [Fault(name, what) for what in wrong]
    recount, digests = Recount(task.bank), bytearray()
    if columns is not None:
        samples = _Samples(task, columns, recount, digests)
        for row in range(task.file.samples):
            faults += [Fault(name, what, samples.name(row)) for what in samples.faults(row)]
            tick(1)
    return Checked(faults=tuple(faults), record=recount.record(task.file), digests=bytes(digests))


def warm_up(bank: Bank | None) -> None:
    """Compiles what is compiled at its first call, so that forked processes find it done."""
    label, instance = np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint16)
    for array in (label, instance):
        array.flags.writeable = False  # as rows of a shard come
    survey(label, instance, np.zeros(0, np.int64))
    if bank:
        pose = [bank.class_id[0], 0, 0, 0, 0, 0, ONE, *[0] * (len(OBJECT_FIELDS) - 7)]
        derive(np.array([pose], np.int32), bank, label.shape)


def _open(task: Task) -> tuple[_Columns | None, list[str]]:
    """The small datasets, None where no row can be read; and what is wrong with the form."""
    file, stated = task.file, task.stated
    try:
        with h5py.File(task.folder / file.name, "r") as shard:
            header = stated.header(str(file.split))
            strange = list(header_faults(shard, header))
            wrong = list(dataset_faults(shard, header, rows=file.samples, size=stated.size))
            return None if wrong else {name: shard[name][:] for name in (*SMALL, "sample_id")}, strange + wrong
    except UNREADABLE as error:
        return None, [f"cannot be read as a shard ({first_line(error)})"]


class _Maps(NamedTuple):
    """The maps and objects of a sample, counted and checked."""

    sample: Sample
    found: Survey
    faults: list[str]


class _Samples:
    """The samples of a shard, read and checked one after the other."""

    def __init__(self, task: Task, columns: _Columns, recount: Recount, digests: bytearray) -> None:
        """recount, digests: take in every sample that can be read."""
        self._task, self._columns, self._recount, self._digests = task, columns, recount, digests
        self._reader = ShardReader(task.folder / task.file.name)
        self._looks = task.stated.looks
        self._first: _Maps | None = None

    def name(self, row: int) -> str:
        """The id of a sample, as it must be."""
        scene, look = divmod(row, len(self._looks))
        return sample_id(str(self._task.file.split), self._task.file.first_scene + scene, look, self._looks)

    def faults(self, row: int) -> Iterator[str]:
        """All of sample `row`; rows are asked for in their order."""
        look = row % len(self._looks)
        if look == 0:
            self._first = None
        yield from self._id_faults(row)
        try:
            sample = self._read(row)
        except UNREADABLE as error:
            yield first_line(error).removeprefix(f"{self._reader.path}: ")
            return
        if sample.digest.encode() != self._columns["digest"][row]:
            yield "its pixels are not those of its `digest`"
        self._digests += bytes.fromhex(sample.digest)
        yield from column_faults(sample, self._columns["foreground"][row], self._columns["background"][row])
        maps = self._first
        if maps is not None and (unlike := sample.unlike(maps.sample)):
            yield f"its {' and '.join(unlike)} are not those of {self.name(row - look)}, the same scene in another look"
        if maps is None or unlike:
            maps = self._maps(sample)
            self._first = self._first or maps
        yield from maps.faults
        self._recount.add(sample, maps.found)

    def _id_faults(self, row: int) -> Iterator[str]:
        scene, look = divmod(row, len(self._looks))
        due = {"sample_id": self.name(row).encode(), "scene": self._task.file.first_scene + scene, "look": look}
        for name, value in due.items():
            there = self._columns[name][row]
            if there != value:
                yield f"{name} is {there}, must be {value}"

    def _read(self, row: int) -> Sample:
        objects = self._reader.read("objects", row).view(np.int32)
        used = int(self._columns["object_count"][row])
        if used > len(objects):
            raise ValueError(f"`object_count` is {used}, and there are {len(objects)} rows")
        image, label = (self._reader.read(name, row).view(np.uint8) for name in ("image", "label"))
        instance = self._reader.read("instance", row).view(np.uint16)
        return Sample(image, label, instance, objects[:used], objects[used:])

    def _maps(self, sample: Sample) -> _Maps:
        found, task = survey(sample.label, sample.instance, sample.classes), self._task
        faults = list(map_faults(sample, found))
        if task.labels and task.bank:
            faults += derived_faults(sample, task.bank, str(task.file.split))
        return _Maps(sample, found, faults)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the shards hold. records: by name, of those in which every sample could be read. samples: that could be
    read. digest: of the set, by their pixels; "" unless all could be read."""

    faults: list[Fault]
    records: dict[str, ShardRecord]
    samples: int
    digest: str


def check_shards(stated: Stated, tasks: Sequence[Task], *, workers: int, tick: Tick) -> Found:
    """tasks: the shards that are there, in dataset order. tick hears of samples as they are done."""
    faults: list[Fault] = []
    records: dict[str, ShardRecord] = {}
    samples, whole = 0, hashlib.sha256()
    for task, checked in zip(tasks, in_order(check_shard, tasks, workers=workers, tick=tick), strict=True):
        name = task.file.name
        if isinstance(checked, Died):
            faults.append(Fault(name, f"cannot be read: {checked.how} while it was read, so it is damaged"))
            continue
        faults += checked.faults
        samples += len(checked.digests) // whole.digest_size
        whole.update(checked.digests)
        if checked.record:
            records[name] = checked.record
    complete = len(records) == len(stated.shards)
    if complete and whole.hexdigest() != stated.digest:
        faults.append(Fault(layout.INDEX, f"digest is {stated.digest}, and the samples give {whole.hexdigest()}"))
    return Found(faults=faults, records=records, samples=samples, digest=whole.hexdigest() if complete else "")
