"""The free ground of a field, as bits: where no cell lies yet. What lies outside the field is never free."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.compiled import compiled
from smearsynth.scene import bits
from smearsynth.scene.footprints import HEIGHT, START, WIDTH, X, Y


class Ground(NamedTuple):
    """height, width: of the field, px. rows: u8 (height * bits.words(width),), 1 where it is free."""

    height: int
    width: int
    rows: npt.NDArray[np.uint64]


@compiled()
def ground(height, width):  # type: ignore[no-untyped-def]
    """The ground of a field on which nothing lies."""
    made = Ground(height, width, np.empty(height * bits.words(width), np.uint64))
    clear(made)
    return made


@compiled()
def clear(ground):  # type: ignore[no-untyped-def]
    """Takes all cells off the ground."""
    ground.rows[:] = bits.NONE
    length = bits.words(ground.width)
    for y in range(ground.height):
        bits.fill(ground.rows, y * length, 0, ground.width)


@compiled()
def free(ground):  # type: ignore[no-untyped-def]
    """Pixels that are free."""
    pixels = 0
    for word in ground.rows:
        pixels += bits.count(word)
    return pixels


@compiled()
def bare(ground, x, y):  # type: ignore[no-untyped-def]
    """Whether no cell covers a pixel, as far as is known: outside the field it is not."""
    if not (0 <= x < ground.width and 0 <= y < ground.height):
        return True
    word = ground.rows[y * bits.words(ground.width) + (x >> 6)]
    return word & bits.single(x) != bits.NONE


@compiled()
def uncovered(ground, prints, i):  # type: ignore[no-untyped-def]
    """Pixels of footprint i that are free."""
    box, pixels = prints.box[i], 0
    x, length, across = box[X], bits.words(box[WIDTH]), bits.words(ground.width)
    for y in range(max(box[Y], 0), min(box[Y] + box[HEIGHT], ground.height)):
        first = box[START] + (y - box[Y]) * length
        for k in range(length):
            pixels += bits.count(prints.rows[first + k] & bits.window(ground.rows, y * across, across, x + 64 * k))
    return pixels


@compiled()
def cover(ground, prints, i):  # type: ignore[no-untyped-def]
    """Puts footprint i on the ground."""
    box = prints.box[i]
    x, length, across = box[X], bits.words(box[WIDTH]), bits.words(ground.width)
    for y in range(max(box[Y], 0), min(box[Y] + box[HEIGHT], ground.height)):
        first = box[START] + (y - box[Y]) * length
        for k in range(length):
            bits.erase(ground.rows, y * across, across, x + 64 * k, prints.rows[first + k])
