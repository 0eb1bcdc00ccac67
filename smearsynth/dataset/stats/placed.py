"""What lies in the smears, from the tables of objects alone: no image is read.

The looks of a scene show the same cells, so each scene is counted once.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from smearsynth.dataset.stats.spread import Spread
from smearsynth.dataset.verify.stated import File, Stated
from smearsynth.errors import UserError
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, SPLITS

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
