"""Colours of cells and of glass, look by look, from some of the smears."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.dataset.verify.stated import Stated
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import IGNORE

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
