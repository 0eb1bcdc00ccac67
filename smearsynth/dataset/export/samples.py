"""The samples that are exported, read with suspicion: what is handed on is what the index vouches for.

A shard is held against its sha256 in the index before its first pixel is used, and every name that becomes the name of
a file is checked; that no name comes twice costs a hundred bytes per sample, all that grows with the set.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.dataset import layout
from smearsynth.dataset.export.source import Source
from smearsynth.dataset.verify.files import content_faults
from smearsynth.dataset.verify.stated import File
from smearsynth.errors import UserError
from smearsynth.scene.scene import BACKGROUNDS
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import SPLITS

_SAMPLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@-]{0,63}")
"""What may name a file: it stays in its folder, and whatever follows a dot is the kind of file."""
_COLUMNS = ("sample_id", "digest", "scene", "look")


class Row(NamedTuple):
    """Where a sample lies, and what the small datasets tell of it. look, background: their names, the latter "" in a
    set without."""

    reader: ShardReader
    file: File
    row: int
    sample_id: str
    digest: str
    scene: int
    look: str
    background: str


@dataclass(frozen=True, kw_only=True)
class Sample:
    """image: u1 (H, W, 3) RGB. label: u1 (H, W). instance: u2 (H, W) and objects: i4 (n, F), None in a set without."""

    row: Row
    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.uint16] | None
    objects: npt.NDArray[np.int32] | None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which samples: of one split or all, of one look or all, and at most `limit` of each split, the first ones."""

    source: Source
    split: str | None = None
    look: str | None = None
    limit: int | None = None

    def splits(self) -> dict[str, int]:
        """How many of each split that has any, in the order train, val, test. UserError where that is none."""
        looks = self.source.header.looks
        if self.look is not None and self.look not in looks:
            raise UserError(f"{self.source.folder} has no look {self.look!r}; its looks are {', '.join(looks)}.")
        counts = {split: sum(1 for _ in self._rows(split)) for split in SPLITS if self.split in (None, split)}
        found = {split: count for split, count in counts.items() if count}
        if not found:
            raise UserError(f"{self.source.folder} has no samples in its split {self.split!r}: choose another.")
        return found

    def rows(self, split: str) -> Iterator[Row]:
        """In the order of the set. UserError at the first row of a shard that is not the one in the index."""
        for file, rows in groupby(self._rows(split), lambda row: row.file):
            for what in content_faults(self.source.folder, file):
                raise UserError(f"{self.source.path(file)}: {what}; build it again with --resume, or fetch it again.")
            yield from rows

    def _rows(self, split: str) -> Iterator[Row]:
        rows = (row for file in self.source.shards if file.split == split for row in _rows_of(self.source, file))
        seen: set[str] = set()
        for row in islice((row for row in rows if self.look in (None, row.look)), self.limit):
            if row.sample_id in seen:
                raise UserError(f"{self.source.path(row.file)}: {row.sample_id} comes twice: build or import it again.")
            seen.add(row.sample_id)
            yield row


def read(source: Source, row: Row) -> Sample:
    """The pixels and objects of a sample; threads may share a source. UserError where they are damaged, or an instance
    is no object of a class."""
    image, label = (row.reader.read(name, row.row).view(np.uint8) for name in ("image", "label"))
    instance = objects = None
    if source.whole:
        instance, objects = row.reader.read("instance", row.row).view(np.uint16), row.reader.objects(row.row)
        classes = objects[:, source.header.fields.index("class")]
        if instance.max() > len(objects) or not np.isin(classes, source.header.class_ids[1:]).all():
            raise UserError(f"{row.reader.path}: {row.sample_id} contradicts itself; `smearsynth verify` tells more.")
    return Sample(row=row, image=image, label=label, instance=instance, objects=objects)


def _rows_of(source: Source, file: File) -> Iterator[Row]:
    reader, looks = ShardReader(source.path(file)), source.header.looks
    columns = [reader.column(name).tolist() for name in _COLUMNS]
    backgrounds = reader.column("background").tolist() if source.whole else [None] * len(reader)
    if len(reader) != file.samples:
        raise UserError(f"{reader.path} has {len(reader)} samples, and {file.samples} in {layout.INDEX}.")
    for row, (sample_id, digest, scene, look, background) in enumerate(zip(*columns, backgrounds, strict=True)):
        if not _SAMPLE_ID.fullmatch(sample_id):
            raise UserError(f"{reader.path}: {sample_id!r} is no sample id, and no file can be named by it.")
        if look >= len(looks) or (background or 0) >= len(BACKGROUNDS):
            raise UserError(f"{reader.path}: {sample_id} has a look or background that the format does not know.")
        known = "" if background is None else BACKGROUNDS[background]
        yield Row(reader, file, row, sample_id, digest, scene, looks[look], known)
