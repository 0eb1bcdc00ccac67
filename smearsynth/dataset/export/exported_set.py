"""The samples that are exported: which, and read so that nothing is handed on that the index does not vouch for.

A shard is compared with its sha256 in the index before its first pixel is used, and every name that becomes the name of
a file is checked. That no name comes twice costs a hundred bytes per sample, all that grows with the set. An imported
set can be exported too; its index says less than that of a built one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from smearsynth.base import json_values
from smearsynth.base.errors import UserError, first_line
from smearsynth.dataset import layout
from smearsynth.dataset.index import MOST_BYTES, classes_of
from smearsynth.dataset.index_schema import Hash, IndexFile, IndexPart
from smearsynth.dataset.verify.set_files import content_errors
from smearsynth.scene.scene import BACKGROUNDS
from smearsynth.shards.format import Header
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import SPLITS

_SAMPLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@-]{0,63}")
"""What may name a file: it stays in its folder, and whatever follows a dot is the kind of file."""
_UNITS = {"cx": 1 / 256, "cy": 1 / 256, "angle": 360 / 65536, "scale": 1 / 65536}
"""What one step of a column is worth: px, px, degrees, times the size in the bank. The others are whole numbers."""


class _ExportedIndex(IndexPart):
    """The keys that are used, of a built or an imported set."""

    name: str = ""
    digest: Hash
    files: tuple[IndexFile, ...]
    sources: tuple[dict[str, Any], ...] = ()
    publish: bool = False


@dataclass(frozen=True, kw_only=True)
class ExportedSet:
    """header: of every shard, its split "". shards: those that hold samples, in dataset order. sources: what the index
    says of each. has_objects: every shard has `instance` and `objects`. publish: whether the recipe says that the set
    may be handed on.
    """

    folder: Path
    name: str
    digest: str
    header: Header
    shards: tuple[IndexFile, ...]
    sources: tuple[dict[str, Any], ...]
    has_objects: bool
    publish: bool

    def path(self, shard: IndexFile) -> Path:
        return self.folder / shard.name


def open_set(folder: Path) -> ExportedSet:
    """UserError where there is no set, or none whose shards are of one taxonomy and one list of looks."""
    index = _read_index(folder / layout.INDEX)
    shards = tuple(file for split in SPLITS for file in index.files if file.split == split and file.samples)
    if not shards:
        raise UserError(f"{folder / layout.INDEX} names no shard with samples: build or import the set again.")
    readers = [ShardReader(folder / shard.name) for shard in shards]
    header = replace(readers[0].header, split="")
    classes_of(readers[0].path, header)
    has_objects = all({"instance", "objects"} <= reader.names for reader in readers)
    if has_objects and "class" not in header.fields:
        raise UserError(f"{readers[0].path}: the columns of `objects` are {header.fields}, and none is class.")
    for reader in readers:
        if replace(reader.header, split="") != header:
            raise UserError(f"{reader.path} has other classes, looks or fields than {shards[0].name}.")
    return ExportedSet(
        folder=folder,
        name=index.name or folder.resolve().name,
        digest=index.digest,
        header=header,
        shards=shards,
        sources=index.sources,
        has_objects=has_objects,
        publish=index.publish,
    )


def _read_index(path: Path) -> _ExportedIndex:
    try:
        return _ExportedIndex.model_validate_json(json_values.read_json(path, MOST_BYTES)[1])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: no dataset, or one that `build --resume` must finish.") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "its text"
        raise UserError(f"{path}: {place}: {first['msg']}; build or import the set again.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({first_line(error)}): build or import the set again.") from None


class SampleRow(NamedTuple):
    """Where a sample is stored, and what the small datasets say of it. look, background: their names, the latter "" in
    a set without objects. number: in its split, from 1.
    """

    reader: ShardReader
    file: IndexFile
    row: int
    sample_id: str
    digest: str
    scene: int
    look: str
    background: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which samples: of one split or all, of one look or all, and at most `limit` of each split, the first ones."""

    dataset: ExportedSet
    split: str | None = None
    look: str | None = None
    limit: int | None = None

    def splits(self) -> dict[str, int]:
        """How many of each split that has any, in the order train, val, test. UserError where that is none."""
        looks = self.dataset.header.looks
        if self.look is not None and self.look not in looks:
            raise UserError(f"{self.dataset.folder} has no look {self.look!r}; its looks are {', '.join(looks)}.")
        counts = {split: sum(1 for _ in self._rows(split)) for split in SPLITS if self.split in (None, split)}
        found = {split: count for split, count in counts.items() if count}
        if not found:
            raise UserError(f"{self.dataset.folder} has no samples in its split {self.split!r}: choose another.")
        return found

    def rows(self, split: str) -> Iterator[SampleRow]:
        """In the order of the set. UserError at the first row of a shard that is not the one in the index."""
        for file, rows in groupby(self._rows(split), lambda row: row.file):
            for what in content_errors(self.dataset.folder, file):
                raise UserError(f"{self.dataset.path(file)}: {what}; resume its build, or fetch it again.")
            yield from rows

    def _rows(self, split: str) -> Iterator[SampleRow]:
        rows, before = [], 0
        for file in self.dataset.shards:
            if file.split == split:
                rows.append(_rows_of(self.dataset, file, before))
                before += file.samples
        seen: set[str] = set()
        for row in islice((row for row in chain.from_iterable(rows) if self.look in (None, row.look)), self.limit):
            if row.sample_id in seen:
                raise UserError(f"{row.reader.path}: {row.sample_id} comes twice: build or import it again.")
            seen.add(row.sample_id)
            yield row


def _rows_of(dataset: ExportedSet, file: IndexFile, before: int) -> Iterator[SampleRow]:
    reader, looks = ShardReader(dataset.path(file)), dataset.header.looks
    columns = [reader.column(name).tolist() for name in ("sample_id", "digest", "scene", "look")]
    backgrounds = reader.column("background").tolist() if "background" in reader.names else [None] * len(reader)
    if len(reader) != file.samples:
        raise UserError(f"{reader.path} has {len(reader)} samples, and {file.samples} in {layout.INDEX}.")
    for row, (sample_id, digest, scene, look, background) in enumerate(zip(*columns, backgrounds, strict=True)):
        if not _SAMPLE_ID.fullmatch(sample_id):
            raise UserError(f"{reader.path}: {sample_id!r} is no sample id, and no file can be named by it.")
        if look >= len(looks) or (background or 0) >= len(BACKGROUNDS):
            raise UserError(f"{reader.path}: {sample_id} has a look or background that the format does not know.")
        known = "" if background is None else BACKGROUNDS[background]
        yield SampleRow(reader, file, row, sample_id, digest, scene, looks[look], known, before + row + 1)


@dataclass(frozen=True, kw_only=True)
class ExportedSample:
    """image: uint8 (H, W, 3) RGB. label: uint8 (H, W). instance: uint16 (H, W), objects: int32 (n, F), and parasite:
    uint8 (H, W), None in a set without.
    """

    row: SampleRow
    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.uint16] | None
    objects: npt.NDArray[np.int32] | None
    parasite: npt.NDArray[np.uint8] | None


def read_sample(dataset: ExportedSet, row: SampleRow) -> ExportedSample:
    """The pixels and objects of a sample; threads may share a set. UserError where they are damaged, or an instance is
    no object of a class."""
    image, label = (row.reader.read(name, row.row).view(np.uint8) for name in ("image", "label"))
    instance = objects = None
    if dataset.has_objects:
        instance, objects = row.reader.read("instance", row.row).view(np.uint16), row.reader.objects(row.row)
        classes = objects[:, dataset.header.fields.index("class")]
        if instance.max() > len(objects) or not np.isin(classes, dataset.header.class_ids[1:]).all():
            raise UserError(f"{row.reader.path}: {row.sample_id} contradicts itself; `smearsynth verify` says where.")
    parasite = row.reader.read("parasite", row.row).view(np.uint8) if dataset.header.has_parasites else None
    return ExportedSample(row=row, image=image, label=label, instance=instance, objects=objects, parasite=parasite)


def object_columns(header: Header) -> tuple[str, ...]:
    """`instance`, the value in the instance map; `class`, a key; then the columns of the shards."""
    return "instance", "class", *(name for name in header.fields if name != "class")


def object_rows(sample: ExportedSample, header: Header) -> list[dict[str, Any]]:
    """A mapping with the keys of `object_columns` for each object of a sample that has some, in ascending z.

    Places are in px and degrees. The conversion is exact: every value of a shard has a float64 of its own, and its
    shortest decimal leads back to it.
    """
    assert sample.objects is not None
    rows = []
    for instance, row in enumerate(sample.objects.tolist(), start=1):
        values = dict(zip(header.fields, row, strict=True))
        key = header.class_keys[values.pop("class")]
        placed = {name: value * _UNITS.get(name, 1) for name, value in values.items()}
        rows.append({"instance": instance, "class": key, **placed})
    return rows
