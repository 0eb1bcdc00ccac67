"""Distributions of whole numbers, exact however many are counted: only different values take room.

What an index tells of the cells and files that were refused, held against its form.

What lies in the smears, from the tables of objects alone: no image is read.

The looks of a scene show the same cells, so each scene is counted once.

Colours of cells and of glass, look by look, from some of the smears.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from smearsynth.base.errors import UserError
from smearsynth.dataset import layout
from smearsynth.dataset.verify.stated_index import BySource, Counts, File, Stated
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, IGNORE, SPLITS

_QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """n values; quantiles are values that are there (the least with at least that share at or below it)."""

    n: int
    mean: float
    sd: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float


class Spread:
    """values: i8 (m,), ascending. counts: i8 (m,), how often each was met."""

    def __init__(self) -> None:
        self.values = np.zeros(0, np.int64)
        self.counts = np.zeros(0, np.int64)

    def add(self, values: npt.NDArray[np.integer]) -> None:
        self._merge(*np.unique(values, return_counts=True))

    def add_all(self, other: "Spread") -> None:
        self._merge(other.values, other.counts)

    def _merge(self, values: npt.NDArray[np.integer], counts: npt.NDArray[np.integer]) -> None:
        self.values, where = np.unique(np.concatenate([self.values, values]), return_inverse=True)
        # Sums of floats are exact up to 2**53.
        self.counts = np.bincount(where, np.concatenate([self.counts, counts])).astype(np.int64)

    def summary(self, unit: float = 1) -> Summary | None:
        """In `unit`s; None where nothing was met."""
        n = int(self.counts.sum())
        if n == 0:
            return None
        values = self.values / unit
        mean = float(self.counts @ values / n)
        quantiles = np.quantile(values, list(_QUANTILES.values()), weights=self.counts, method="inverted_cdf")
        return Summary(
            n=n,
            mean=mean,
            sd=float(np.sqrt(self.counts @ np.square(values - mean) / n)),
            **dict(zip(_QUANTILES, quantiles.tolist(), strict=True)),
        )


class Source(BaseModel):
    """Part of what `dataset.provenance` tells; of a set that was built from a ready bank only the name is known."""

    model_config = ConfigDict(strict=True, frozen=True)

    name: str
    refused: BySource = {}
    files_left_out: Counts = {}


def sources_of(folder: Path, stated: Stated) -> tuple[Source, ...]:
    """Raises UserError where the index tells something else."""
    try:
        return tuple(Source.model_validate(source) for source in stated.sources)
    except ValidationError as error:
        raise UserError(
            f"{folder / layout.INDEX}: sources: {error.errors()[0]['msg']}; fetch or build the set again."
        ) from error


STEPS = 1000
"""Steps of the visible share of a cell."""
_FAULTY = "{}: {}; `smearsynth verify {}` tells all its faults."
_CLASS, _CELL, _VISIBLE, _FULL = (OBJECT_FIELDS.index(name) for name in ("class", "cell", "visible", "full"))


def _spreads() -> tuple[Spread, ...]:
    return tuple(Spread() for _ in CLASSES)


@dataclass
class Placed:
    """Over scenes. By class id: `sizes`, px of whole cells, also where they are hidden or outside the field; `visible`,
    the share of them that shows, in 1/1000, rounded down. Per smear: `objects`, and `covered`, px that are of a cell.
    counts: per split, objects of each class id. used: per split, (class, cell) that were met, i8 (m, 2).
    """

    sizes: tuple[Spread, ...] = field(default_factory=_spreads)
    visible: tuple[Spread, ...] = field(default_factory=_spreads)
    objects: Spread = field(default_factory=Spread)
    covered: Spread = field(default_factory=Spread)
    counts: dict[str, npt.NDArray[np.int64]] = field(
        default_factory=lambda: {split: np.zeros(len(CLASSES), np.int64) for split in SPLITS}
    )
    used: dict[str, npt.NDArray[np.int64]] = field(
        default_factory=lambda: {split: np.zeros((0, 2), np.int64) for split in SPLITS}
    )

    def add(self, split: str, objects: npt.NDArray[np.int64], per_scene: npt.NDArray[np.int64]) -> None:
        """The objects of all scenes of a shard, i8 (n, 14), scene by scene; per_scene: how many each has."""
        classes, visible, full = (objects[:, column] for column in (_CLASS, _VISIBLE, _FULL))
        for c in np.unique(classes).tolist():
            mine = classes == c
            self.sizes[c].add(full[mine])
            self.visible[c].add(STEPS * visible[mine] // full[mine])
        self.objects.add(per_scene)
        scene = np.repeat(np.arange(len(per_scene)), per_scene)
        self.covered.add(np.bincount(scene, visible, len(per_scene)).astype(np.int64))
        self.counts[split] += np.bincount(classes, minlength=len(CLASSES))
        met = np.concatenate([self.used[split], objects[:, [_CLASS, _CELL]]])
        self.used[split] = np.unique(met, axis=0)

    def used_cells(self, split: str) -> npt.NDArray[np.int64]:
        """i8 (10,): different cells of each class id that were met in a split."""
        return np.bincount(self.used[split][:, 0], minlength=len(CLASSES))


def read_placed(folder: Path, stated: Stated, *, progress: bool) -> Placed:
    """Raises UserError for a shard that can't be read, or whose objects are none that a build has placed."""
    placed = Placed()
    for file in tqdm(stated.shards, "objects", unit="shard", leave=False, disable=None if progress else True):
        objects, per_scene = _objects(folder / file.name, file, len(stated.looks))
        placed.add(str(file.split), objects, per_scene)
    return placed


def _objects(path: Path, file: File, looks: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of the first look of every scene of a shard: the object rows, and how many each has."""
    reader = ShardReader(path)
    per_scene = reader.column("object_count").astype(np.int64)[::looks]
    if len(per_scene) != file.scenes:
        raise UserError(_FAULTY.format(path, f"it has {len(per_scene)} scenes and not {file.scenes}", path.parent))
    tables = [reader.read("objects", row * looks)[:n] for row, n in enumerate(per_scene.tolist())]
    objects = np.concatenate(tables).astype(np.int64)
    classes, visible, full = (objects[:, column] for column in (_CLASS, _VISIBLE, _FULL))
    placed = np.isin(classes, range(1, len(CLASSES))) & (visible > 0) & (visible <= full)
    if len(objects) != per_scene.sum() or not placed.all():
        raise UserError(_FAULTY.format(path, "it has objects that no build has placed", path.parent))
    return objects, per_scene


SAMPLED = 200
"""Scenes that are looked at, spread evenly over all of them."""
Rgb = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Colour:
    """Red, green and blue, 0 to 255, over all pixels of one kind in the smears looked at."""

    mean: Rgb
    sd: Rgb


@dataclass(frozen=True, kw_only=True)
class LookColours:
    """smears: how many were looked at. cells: wherever the label is a class. glass: wherever it is background, debris
    and precipitate included. None where no pixel is of the kind."""

    smears: int
    cells: Colour | None
    glass: Colour | None


class Sums(NamedTuple):
    """Of one smear and kind of pixel: their number, and the sums of red, green and blue and of their squares."""

    pixels: int
    values: npt.NDArray[np.int64]
    squares: npt.NDArray[np.int64]


@dataclass
class Sampled:
    """By look, of each smear looked at, what cells and glass sum up to."""

    cells: dict[str, list[Sums]]
    glass: dict[str, list[Sums]]

    def summary(self) -> dict[str, LookColours]:
        return {
            look: LookColours(smears=len(sums), cells=_pooled(sums), glass=_pooled(self.glass[look]))
            for look, sums in self.cells.items()
        }


def read_colours(folder: Path, stated: Stated) -> Sampled:
    """Raises UserError for a shard that can't be read."""
    found = Sampled({look: [] for look in stated.looks}, {look: [] for look in stated.looks})
    for name, row in _chosen(stated):
        reader = ShardReader(folder / name)
        for number, look in enumerate(stated.looks):
            image, label = (reader.read(kind, row + number) for kind in ("image", "label"))
            found.cells[look].append(_sums(image[(label != 0) & (label != IGNORE)]))
            found.glass[look].append(_sums(image[label == 0]))
    return found


def _chosen(stated: Stated) -> Iterator[tuple[str, int]]:
    """File and first row of the scenes that are looked at."""
    taken = np.unique(np.linspace(0, stated.scenes - 1, min(SAMPLED, stated.scenes)).astype(np.int64))
    first = 0
    for file in stated.shards:
        inside = taken[(taken >= first) & (taken < first + file.scenes)] - first
        yield from ((file.name, int(scene) * len(stated.looks)) for scene in inside)
        first += file.scenes


def _sums(pixels: npt.NDArray[np.generic]) -> Sums:
    values = pixels.astype(np.int64)
    return Sums(len(values), values.sum(axis=0), np.square(values).sum(axis=0))


def _pooled(sums: list[Sums]) -> Colour | None:
    pixels = sum(one.pixels for one in sums)
    if pixels == 0:
        return None
    mean = np.sum([one.values for one in sums], axis=0) / pixels
    variance = np.sum([one.squares for one in sums], axis=0) / pixels - np.square(mean)
    return Colour(mean=tuple(mean.tolist()), sd=tuple(np.sqrt(np.maximum(variance, 0)).tolist()))
