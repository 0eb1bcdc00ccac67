"""From optical density to the picture a microscope's camera would have taken.

One stained slide: the colours of its dyes and glass. Every slide drifts, as stains, pH and lamps do.

Dyes are optical densities (natural log, RGB), so layers and overlapping cells add as they do in light. The colours
were set by eye against Romanowsky-stained smears.

A field of view: cells put on glass. Where they overlap, their densities add, as in light.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.drawing.shapes import Dice, Drawing, Floats

Picture = npt.NDArray[np.uint8]


def photograph(dice: Dice, density: Floats, glass: Floats, *, blur_px: float, noise: float) -> Picture:
    """u1 (h, w, 3) RGB: light is absorbed (Beer-Lambert), blurred by the optics, unevenly lit, and noisy.

    density: f8 (h, w, 3). glass: f8 (3,), RGB 0-255. blur_px: Gaussian sigma, px. noise: sigma, grey levels.
    """
    light = ndimage.gaussian_filter(np.exp(-density), (blur_px, blur_px, 0))
    height, width = light.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope_x, slope_y = 0.012 * dice.normals(2)
    lit = light * glass * (1 + slope_x * x + slope_y * y - 0.01 * (x**2 + y**2))[..., None]
    return np.rint(np.clip(lit + noise * dice.normals(height, width, 3), 0, 255)).astype(np.uint8)


_AZURE = {
    "chromatin": (0.30, 0.16, 0.50),
    "young_chromatin": (0.44, 0.23, 0.60),
    "basophil_granule": (0.17, 0.09, 0.36),
    "lymphocyte_plasm": (0.62, 0.68, 0.88),
    "monocyte_plasm": (0.74, 0.71, 0.85),
    "platelet_body": (0.79, 0.68, 0.86),
    "platelet_granule": (0.42, 0.20, 0.50),
    "parasite_plasm": (0.52, 0.44, 0.76),
    "parasite_chromatin": (0.56, 0.08, 0.36),
}
_EOSIN = {
    "eosinophil_granule": (0.78, 0.41, 0.42),
    "eosinophil_plasm": (0.88, 0.62, 0.66),
    "basophil_plasm": (0.84, 0.70, 0.84),
    "neutrophil_plasm": (0.90, 0.76, 0.86),
    "neutrophil_granule": (0.74, 0.54, 0.74),
    "haemoglobin": (0.86, 0.67, 0.68),
    "pigment": (0.36, 0.26, 0.16),
}
_GREYING = (0.8, -0.3, -0.55)
"""Relative change of eosin's densities, RGB, in a fully alkaline buffer."""


@dataclass(frozen=True)
class Slide:
    """glass: light through the empty slide, f8 (3,) RGB 0-255. azure, eosin: strength of the two dye families,
    f8 (3,) RGB: what they multiply the densities of their dyes by.
    """

    glass: Floats
    azure: Floats
    eosin: Floats

    @classmethod
    def stained(cls, dice: Dice, glass: tuple[int, int, int], drift: float, alkaline: float = 0.2) -> "Slide":
        """A slide as stained on some day.

        glass: RGB of the laboratory's mean. drift: relative spread of lamp and stain. alkaline: how far the buffer may
        be off, 0-1; an alkaline one turns what eosin stains from pink to greyish blue.
        """
        lamp = np.array(glass) + 40 * drift * dice.normals(1) + 20 * drift * dice.normals(3)
        hue = np.exp(0.6 * drift * dice.normals(3))
        greying = 1 + dice.between(0.0, alkaline) * np.array(_GREYING)
        return cls(
            glass=np.clip(lamp, 0, 250),
            azure=dice.near(1.0, drift) * hue,
            eosin=dice.near(1.0, drift) * hue * greying,
        )

    def dye(self, name: str) -> Floats:
        """Optical density of the named stained matter, f8 (3,) RGB."""
        family, strength = (_AZURE, self.azure) if name in _AZURE else (_EOSIN, self.eosin)
        return -np.log(np.array(family[name])) * strength


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
