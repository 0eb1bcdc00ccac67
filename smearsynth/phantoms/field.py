"""A field of view: cells put on glass. Where they overlap, their densities add, as in light."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smearsynth.phantoms.dice import Dice, Floats
from smearsynth.phantoms.drawing import Drawing
from smearsynth.phantoms.slide import Slide

Mask = npt.NDArray[np.bool_]
Draw = Callable[[Dice, Slide, float], Drawing]
"""How a cell of one class is drawn: (dice, slide, um per px)."""


@dataclass(frozen=True)
class Placed:
    """A cell whose middle pixel lies at (x, y); it keeps others `keep` px away."""

    drawing: Drawing
    x: int
    y: int
    keep: float


class Field:
    """density: f8 (h, w, 3) of everything put so far."""

    def __init__(self, height: int, width: int) -> None:
        self.density: Floats = np.zeros((height, width, 3))
        self.placed: list[Placed] = []

    def put(self, drawing: Drawing, x: int, y: int, room: float = 1.0) -> Placed:
        """Lay the cell with its middle at (x, y), px; it may be cut by the border. room: see `throw`."""
        placed = Placed(drawing, x, y, room * drawing.radius_px)
        there, here = self._windows(placed)
        self.density[there] += drawing.density[here]
        self.placed.append(placed)
        return placed

    def throw(self, dice: Dice, drawing: Drawing, margin: float, room: float = 1.0) -> Placed | None:
        """Put the cell at a random free place, or nowhere after 60 misses.

        margin: least distance of its middle from the border, px. room: how many of its radii it keeps to itself;
        below 1 it may overlap its neighbours.
        """
        height, width = self.density.shape[:2]
        keep = room * drawing.radius_px
        for _ in range(60):
            x = round(dice.between(margin, width - margin))
            y = round(dice.between(margin, height - margin))
            if all(np.hypot(p.x - x, p.y - y) > p.keep + keep for p in self.placed):
                return self.put(drawing, x, y, room)
        return None

    def crowd(self, dice: Dice, slide: Slide, draw: Draw, um_per_px: float, number: int) -> None:
        """Up to `number` cells of one kind, as there is room; some overlap, the border cuts some."""
        for _ in range(number):
            self.throw(dice, draw(dice, slide, um_per_px), margin=-8, room=0.96)

    def inside(self, placed: Placed) -> Mask:
        """Pixels of one cell, (h, w)."""
        return self._laid(placed, placed.drawing.outline)

    def nucleus(self, placed: Placed) -> Mask:
        """Pixels of its nucleus, (h, w)."""
        return self._laid(placed, placed.drawing.nucleus)

    def _laid(self, placed: Placed, distance: Floats) -> Mask:
        mask = np.zeros(self.density.shape[:2], bool)
        there, here = self._windows(placed)
        mask[there] = distance[here] < 0
        return mask

    def _windows(self, placed: Placed) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a cell's plane lies in the field, and which part of the plane that is."""
        size = placed.drawing.outline.shape[0]
        there, here = [], []
        for middle, length in zip((placed.y, placed.x), self.density.shape[:2], strict=True):
            start = middle - size // 2
            first, last = max(0, start), max(0, min(length, start + size))
            there.append(slice(first, last))
            here.append(slice(first - start, max(first - start, last - start)))
        return (there[0], there[1]), (here[0], here[1])


def box_of(mask: Mask) -> tuple[int, int, int, int]:
    """x, y, width, height of the True pixels; there must be some."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
