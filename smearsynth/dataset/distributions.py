"""What the shards of a built set hold, as distributions: cells from the tables of objects, colours from some images.

The looks of a scene show the same cells, so cells are counted once per scene. A `Distribution` is exact however many
values it takes in, for it keeps the different ones and how often each was met. Colours are from up to SAMPLED scenes,
taken evenly: reading every image would take minutes and change no digit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.errors import UserError
from smearsynth.base.progress import with_progress
from smearsynth.dataset.index_schema import IndexFile, IndexSchema
from smearsynth.scene.scene import CELL, CLASS, FULL, VISIBLE
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, IGNORE, SPLITS

STEPS = 1000
"""Steps of the visible share of a cell."""
SAMPLED = 200
"""Scenes whose colours are measured."""
_QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """Of n values: mean, standard deviation, and quantiles that are among them (the least value with at least that
    share at or below it).
    """

    n: int
    mean: float
    sd: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float


class Distribution:
    """Of whole numbers. values: int64 (m,), ascending. counts: int64 (m,), how often each was met."""

    def __init__(self) -> None:
        self.values = np.zeros(0, np.int64)
        self.counts = np.zeros(0, np.int64)

    def add(self, values: npt.NDArray[np.integer]) -> None:
        self._merge(*np.unique(values, return_counts=True))

    def add_all(self, other: "Distribution") -> None:
        self._merge(other.values, other.counts)

    def _merge(self, values: npt.NDArray[np.integer], counts: npt.NDArray[np.integer]) -> None:
        self.values, where = np.unique(np.concatenate([self.values, values]), return_inverse=True)
        # Sums of floats are exact up to 2**53.
        self.counts = np.bincount(where, np.concatenate([self.counts, counts])).astype(np.int64)

    def quantiles(self, unit: float = 1) -> Quantiles | None:
        """In `unit`s; None where there is no value."""
        n = int(self.counts.sum())
        if n == 0:
            return None
        values = self.values / unit
        mean = float(self.counts @ values / n)
        found = np.quantile(values, list(_QUANTILES.values()), weights=self.counts, method="inverted_cdf")
        return Quantiles(
            n=n,
            mean=mean,
            sd=float(np.sqrt(self.counts @ np.square(values - mean) / n)),
            **dict(zip(_QUANTILES, found.tolist(), strict=True)),
        )


def _per_class() -> tuple[Distribution, ...]:
    return tuple(Distribution() for _ in CLASSES)


def _per_split(*shape: int) -> dict[str, npt.NDArray[np.int64]]:
    return {split: np.zeros(shape, np.int64) for split in SPLITS}


@dataclass
class ObjectDistributions:
    """Over scenes. By class id: `sizes`, px of whole cells, also where they are hidden or outside the field; `visible`,
    the share of them that shows, in 1/STEPS, rounded down. Per smear: `objects`, and `covered`, px that are of a cell.
    counts: per split, objects of each class id. used: per split, (class, cell) that were met, int64 (m, 2).
    """

    sizes: tuple[Distribution, ...] = field(default_factory=_per_class)
    visible: tuple[Distribution, ...] = field(default_factory=_per_class)
    objects: Distribution = field(default_factory=Distribution)
    covered: Distribution = field(default_factory=Distribution)
    counts: dict[str, npt.NDArray[np.int64]] = field(default_factory=lambda: _per_split(len(CLASSES)))
    used: dict[str, npt.NDArray[np.int64]] = field(default_factory=lambda: _per_split(0, 2))

    def add(self, split: str, objects: npt.NDArray[np.int64], per_scene: npt.NDArray[np.int64]) -> None:
        """The objects of all scenes of a shard, int64 (n, 14), scene by scene; per_scene: how many each has."""
        classes, visible, full = (objects[:, column] for column in (CLASS, VISIBLE, FULL))
        for c in np.unique(classes).tolist():
            mine = classes == c
            self.sizes[c].add(full[mine])
            self.visible[c].add(STEPS * visible[mine] // full[mine])
        self.objects.add(per_scene)
        scene = np.repeat(np.arange(len(per_scene)), per_scene)
        self.covered.add(np.bincount(scene, visible, len(per_scene)).astype(np.int64))
        self.counts[split] += np.bincount(classes, minlength=len(CLASSES))
        met = np.concatenate([self.used[split], objects[:, [CLASS, CELL]]])
        self.used[split] = np.unique(met, axis=0)

    def used_cells(self, split: str) -> npt.NDArray[np.int64]:
        """int64 (10,): different cells of each class id that were met in a split."""
        return np.bincount(self.used[split][:, 0], minlength=len(CLASSES))


def read_objects(folder: Path, index: IndexSchema, *, progress: bool) -> ObjectDistributions:
    """Raises UserError for a shard that can't be read, or whose objects are none that a build has placed."""
    found = ObjectDistributions()
    for file in with_progress(index.shards, what="read", unit="shards", shown=progress):
        found.add(str(file.split), *_objects(folder / file.name, file, len(index.looks)))
    return found


def _objects(path: Path, file: IndexFile, looks: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of the first look of every scene of a shard: the object rows, and how many each has."""
    reader = ShardReader(path)
    per_scene = reader.column("object_count").astype(np.int64)[::looks]
    if len(per_scene) != file.scenes:
        raise _damaged(path, f"it has {len(per_scene)} scenes and not {file.scenes}")
    tables = [reader.read("objects", row * looks)[:n] for row, n in enumerate(per_scene.tolist())]
    objects = np.concatenate(tables).astype(np.int64)
    classes, visible, full = (objects[:, column] for column in (CLASS, VISIBLE, FULL))
    possible = np.isin(classes, range(1, len(CLASSES))) & (visible > 0) & (visible <= full)
    if len(objects) != per_scene.sum() or not possible.all():
        raise _damaged(path, "it has objects that no build has placed")
    return objects, per_scene


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path}: {what}; `smearsynth verify {path.parent}` names all errors.")


@dataclass(frozen=True, kw_only=True)
class Colour:
    """Red, green and blue, 0 to 255, over all pixels of one kind in the smears measured."""

    mean: tuple[float, float, float]
    sd: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class LookColours:
    """smears: how many were measured. cells: wherever the label is a class. glass: wherever it is background, debris
    and precipitate included. None where no pixel is of the kind.
    """

    smears: int
    cells: Colour | None
    glass: Colour | None


class ColourSums(NamedTuple):
    """Of one smear and kind of pixel: their number, and the sums of red, green and blue and of their squares, int64
    (3,)."""

    pixels: int
    values: npt.NDArray[np.int64]
    squares: npt.NDArray[np.int64]


@dataclass
class SampledColours:
    """By look, a sum for each smear measured."""

    cells: dict[str, list[ColourSums]]
    glass: dict[str, list[ColourSums]]

    def by_look(self) -> dict[str, LookColours]:
        return {
            look: LookColours(smears=len(sums), cells=_pooled(sums), glass=_pooled(self.glass[look]))
            for look, sums in self.cells.items()
        }


def read_colours(folder: Path, index: IndexSchema) -> SampledColours:
    """Raises UserError for a shard that can't be read."""
    found = SampledColours({look: [] for look in index.looks}, {look: [] for look in index.looks})
    for name, row in _sampled_scenes(index):
        reader = ShardReader(folder / name)
        for number, look in enumerate(index.looks):
            image, label = (reader.read(kind, row + number) for kind in ("image", "label"))
            found.cells[look].append(_sums(image[(label != 0) & (label != IGNORE)]))
            found.glass[look].append(_sums(image[label == 0]))
    return found


def _sampled_scenes(index: IndexSchema) -> Iterator[tuple[str, int]]:
    """File and first row of each."""
    taken = np.unique(np.linspace(0, index.scenes - 1, min(SAMPLED, index.scenes)).astype(np.int64))
    first = 0
    for file in index.shards:
        inside = taken[(taken >= first) & (taken < first + file.scenes)] - first
        yield from ((file.name, int(scene) * len(index.looks)) for scene in inside)
        first += file.scenes


def _sums(pixels: npt.NDArray[np.generic]) -> ColourSums:
    values = pixels.astype(np.int64)
    return ColourSums(len(values), values.sum(axis=0), np.square(values).sum(axis=0))


def _pooled(sums: list[ColourSums]) -> Colour | None:
    pixels = sum(one.pixels for one in sums)
    if pixels == 0:
        return None
    mean = np.sum([one.values for one in sums], axis=0) / pixels
    variance = np.sum([one.squares for one in sums], axis=0) / pixels - np.square(mean)
    return Colour(mean=tuple(mean.tolist()), sd=tuple(np.sqrt(np.maximum(variance, 0)).tolist()))
