"""A stained slide, a field of cells on it, and the picture that a microscope's camera takes of both.

Dyes are optical densities (natural log, RGB), so layers and overlapping cells add as they do in light. Their colours
were set by eye against Romanowsky-stained smears. Every slide drifts, as stains, pH and lamps do.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.drawing.shapes import Drawing, Floats, KeyedRandom

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

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
    """glass: light through the empty slide, float64 (3,) RGB 0-255. azure, eosin: float64 (3,) RGB, what the densities
    of the dyes of the two groups are multiplied by."""

    glass: Floats
    azure: Floats
    eosin: Floats

    def dye(self, name: str) -> Floats:
        """Optical density of the named stained matter, float64 (3,) RGB."""
        dyes, strength = (_AZURE, self.azure) if name in _AZURE else (_EOSIN, self.eosin)
        return -np.log(np.array(dyes[name])) * strength


Draw = Callable[[KeyedRandom, Slide, float], Drawing]
"""How a cell of one class is drawn: (random numbers, slide, um per px)."""


@dataclass(frozen=True, kw_only=True)
class Laboratory:
    """How one laboratory stains and photographs.

    um_per_px: of its camera. glass: RGB 0-255 of its mean empty glass. drift: relative spread of lamp and stain from
    slide to slide. alkaline: how far its buffer may be off, 0-1; an alkaline one turns what eosin stains from pink to
    greyish blue. blur_px: of its optics, Gaussian sigma, px. noise: of its camera, sigma, grey levels.
    """

    um_per_px: float
    glass: tuple[int, int, int]
    drift: float
    alkaline: float = 0.2
    blur_px: float
    noise: float

    def slide(self, rng: KeyedRandom) -> Slide:
        """A slide as stained on some day."""
        lamp = np.array(self.glass) + 40 * self.drift * rng.normal(1) + 20 * self.drift * rng.normal(3)
        hue = np.exp(0.6 * self.drift * rng.normal(3))
        greying = 1 + rng.uniform(0.0, self.alkaline) * np.array(_GREYING)
        return Slide(
            glass=np.clip(lamp, 0, 250),
            azure=rng.lognormal(1.0, self.drift) * hue,
            eosin=rng.lognormal(1.0, self.drift) * hue * greying,
        )

    def photograph(self, rng: KeyedRandom, density: Floats, slide: Slide) -> Pixels:
        """uint8 (h, w, 3) RGB: light is absorbed (Beer-Lambert), blurred by the optics, unevenly lit, and noisy.

        density: float64 (h, w, 3).
        """
        light = ndimage.gaussian_filter(np.exp(-density), (self.blur_px, self.blur_px, 0))
        height, width = light.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        slope_x, slope_y = 0.012 * rng.normal(2)
        lit = light * slide.glass * (1 + slope_x * x + slope_y * y - 0.01 * (x**2 + y**2))[..., None]
        return np.rint(np.clip(lit + self.noise * rng.normal(height, width, 3), 0, 255)).astype(np.uint8)


@dataclass(frozen=True)
class PlacedDrawing:
    """A cell whose middle pixel is at (x, y); it keeps others `radius` px away."""

    drawing: Drawing
    x: int
    y: int
    radius: float


class FieldOfView:
    """Cells put on glass. Where they overlap, their densities add, as in light.

    density: float64 (h, w, 3) of everything put so far.
    """

    def __init__(self, height: int, width: int) -> None:
        self.density: Floats = np.zeros((height, width, 3))
        self.placed: list[PlacedDrawing] = []

    def put(self, drawing: Drawing, x: int, y: int, clearance: float = 1.0) -> PlacedDrawing:
        """Adds the cell with its middle at (x, y), px; it may be cut by the border. clearance: see `put_anywhere`."""
        placed = PlacedDrawing(drawing, x, y, clearance * drawing.radius_px)
        there, here = self._windows(placed)
        self.density[there] += drawing.density[here]
        self.placed.append(placed)
        return placed

    def put_anywhere(
        self, rng: KeyedRandom, drawing: Drawing, margin: float, clearance: float = 1.0
    ) -> PlacedDrawing | None:
        """Puts the cell at a random free place, or nowhere after 60 misses.

        margin: least distance of its middle from the border, px. clearance: radius that it keeps free of others, in
        its own radii; below 1 it may overlap its neighbours.
        """
        height, width = self.density.shape[:2]
        radius = clearance * drawing.radius_px
        for _ in range(60):
            x = round(rng.uniform(margin, width - margin))
            y = round(rng.uniform(margin, height - margin))
            if all(np.hypot(p.x - x, p.y - y) > p.radius + radius for p in self.placed):
                return self.put(drawing, x, y, clearance)
        return None

    def fill(self, rng: KeyedRandom, slide: Slide, draw: Draw, um_per_px: float, number: int) -> None:
        """Puts up to `number` cells of one kind, as many as find a place; some overlap, the border cuts some."""
        for _ in range(number):
            self.put_anywhere(rng, draw(rng, slide, um_per_px), margin=-8, clearance=0.96)

    def inside(self, placed: PlacedDrawing) -> Mask:
        """Pixels of one cell, (h, w)."""
        return self._below_zero(placed, placed.drawing.outline)

    def nucleus(self, placed: PlacedDrawing) -> Mask:
        """Pixels of its nucleus, (h, w)."""
        return self._below_zero(placed, placed.drawing.nucleus)

    def _below_zero(self, placed: PlacedDrawing, distance: Floats) -> Mask:
        mask = np.zeros(self.density.shape[:2], bool)
        there, here = self._windows(placed)
        mask[there] = distance[here] < 0
        return mask

    def _windows(self, placed: PlacedDrawing) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a cell's plane is in the field, and which part of the plane that is."""
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
