"""What the index has to know of a shard, counted while it is built."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from smearsynth.recipe.combinations import Combination
from smearsynth.scene.scene import BACKGROUNDS, OBJECT_FIELDS, Scene
from smearsynth.taxonomy import CLASSES, FOREGROUND_CLASSES

_CLASS, _CELL, _VISIBLE = (OBJECT_FIELDS.index(name) for name in ("class", "cell", "visible"))


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """One shard: scenes `first` to `stop` - 1 of its split. Counts are over samples, `dropped` over scenes.

    size: bytes of the file. pixels, objects: per class id 0 to 9. dropped: cells left out because too little
    of them showed. combinations: name -> samples. class_by_source: objects, class id x source of the bank.
    """

    name: str
    split: str
    first: int
    stop: int
    samples: int
    size: int
    sha256: str
    pixels: tuple[int, ...]
    objects: tuple[int, ...]
    dropped: int
    combinations: dict[str, int]
    class_by_source: tuple[tuple[int, ...], ...]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict` and JSON."""
        nested = tuple(tuple(row) for row in value["class_by_source"])
        flat = {name: tuple(value[name]) for name in ("pixels", "objects")}
        return cls(**{**value, **flat, "class_by_source": nested})


class Tally:
    """Counts scenes as they pass."""

    def __init__(self, source_of: npt.NDArray[np.uint8], sources: int) -> None:
        """source_of: source of each cell of the bank."""
        self._source_of = source_of
        self.pixels = np.zeros(len(CLASSES), np.int64)
        self.class_by_source = np.zeros((len(CLASSES), sources), np.int64)
        self.combinations: Counter[str] = Counter()
        self.dropped = 0

    def add(self, scene: Scene, samples: int) -> None:
        """A scene that gives `samples` samples, one per look."""
        classes = scene.objects[:, _CLASS]
        visible = np.bincount(classes, scene.objects[:, _VISIBLE], len(CLASSES)).astype(np.int64)
        visible[0] = scene.label.size - visible[1:].sum()
        self.pixels += samples * visible
        kinds = classes * self.class_by_source.shape[1] + self._source_of[scene.objects[:, _CELL]]
        counts = np.bincount(kinds, minlength=self.class_by_source.size)
        self.class_by_source += samples * counts.reshape(self.class_by_source.shape)
        self.combinations[combination(classes, scene.background)] += samples
        self.dropped += scene.dropped


def combination(classes: npt.NDArray[np.int32], background: int) -> str:
    """Name of the combination that a smear with objects of these classes shows."""
    foreground = tuple(sorted(c for c in classes.tolist() if c in FOREGROUND_CLASSES))
    return Combination(foreground, BACKGROUNDS[background]).name
