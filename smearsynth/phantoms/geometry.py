"""Shapes of cells as signed distances, um: negative inside, zero on the outline, positive outside.

Distances combine (union, cut) and antialias at any scale, so one drawing serves every source's magnification. They
are exact for discs and strands, and close enough near the outlines of the others, which is all that an edge needs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from smearsynth.phantoms.dice import Dice, Floats

Point = tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """Pixel centres around a cell, um: x to the right and y downwards from the cell's centre, f8 (h, w)."""

    x: Floats
    y: Floats
    um_per_px: float

    @classmethod
    def square(cls, reach: float, um_per_px: float) -> "Plane":
        """An odd number of pixels a side, the origin on the middle one, `reach` um to every side."""
        half = math.ceil(reach / um_per_px)
        y, x = np.mgrid[-half : half + 1, -half : half + 1] * um_per_px
        return cls(x, y, um_per_px)

    def warped(self, dice: Dice, amplitude: float, size: float) -> "Plane":
        """The plane pushed about by some `amplitude` um over distances of `size` um: shapes turn irregular."""
        dx, dy = (amplitude * mottle(dice, self, size) for _ in range(2))
        return Plane(self.x + dx, self.y + dy, self.um_per_px)

    def cover(self, distance: Floats) -> Floats:
        """Share of each pixel that lies inside, 0-1."""
        return np.clip(0.5 - distance / self.um_per_px, 0.0, 1.0)


def blob(dice: Dice, plane: Plane, area: float, rough: float, waves: int = 7) -> Floats:
    """A closed outline of this area, um2: a circle whose radius swings by about `rough` in 2 to `waves` waves."""
    orders = np.arange(2, waves + 1)
    height = np.array([dice.between(0.4, 1.2) * rough / (k - 1) ** 0.8 for k in orders])
    phase = np.array([dice.angle() for _ in orders])

    def swing(angle: Floats) -> Floats:
        return 1 + np.tensordot(height, np.cos(np.multiply.outer(orders, angle).T + phase).T, axes=1)

    turn = np.linspace(0, 2 * math.pi, 512, endpoint=False)
    radius = math.sqrt(area / (math.pi * float(np.mean(swing(turn) ** 2))))
    return np.hypot(plane.x, plane.y) - radius * swing(np.arctan2(plane.y, plane.x))


def disc(plane: Plane, centre: Point, radius: float) -> Floats:
    return np.hypot(plane.x - centre[0], plane.y - centre[1]) - radius


def strand(plane: Plane, path: Sequence[Point], radius: float) -> Floats:
    """Everything within `radius` um of a path of straight pieces."""
    pieces = [_to_piece(plane, a, b) for a, b in pairwise(path)]
    return reduce(np.minimum, pieces) - radius


def _to_piece(plane: Plane, a: Point, b: Point) -> Floats:
    dx, dy = b[0] - a[0], b[1] - a[1]
    along = ((plane.x - a[0]) * dx + (plane.y - a[1]) * dy) / (dx * dx + dy * dy)
    along = np.clip(along, 0.0, 1.0)
    return np.hypot(plane.x - a[0] - along * dx, plane.y - a[1] - along * dy)


def polar(radius: float, angle: float) -> Point:
    return radius * math.cos(angle), radius * math.sin(angle)


def union(a: Floats, b: Floats, fillet: float = 0.3) -> Floats:
    """Both shapes, the corner between them filled as if with a radius of `fillet` um."""
    blend = np.clip(fillet - np.abs(a - b), 0.0, None) / fillet
    return np.minimum(a, b) - blend**2 * fillet / 4


def cut(a: Floats, b: Floats, fillet: float = 0.3) -> Floats:
    """The first shape without the second, with a rounded edge."""
    return -union(-a, b, fillet)


def inset(inner: Floats, outer: Floats, margin: float) -> Floats:
    """The inner shape, kept `margin` um inside the outer one."""
    return np.maximum(inner, outer + margin)


def mottle(dice: Dice, plane: Plane, size: float) -> Floats:
    """A smooth random texture of spots `size` um across, mean about 0, variance about 1.

    Twenty waves, each in a direction of its own.
    """
    total = np.zeros_like(plane.x)
    for i in range(20):
        frequency = math.pi / size * dice.between(0.4, 1.5)
        kx, ky = polar(frequency, math.pi * (i + dice.between(0, 1)) / 20)
        total += np.cos(kx * plane.x + ky * plane.y + dice.angle())
    return total / math.sqrt(10)


def scatter(dice: Dice, reach: float, spacing: float) -> Floats:
    """Points of a jittered hexagonal lattice within `reach` um of the origin: f8 (n, 2)."""
    rows, columns = math.ceil(reach / (0.866 * spacing)), math.ceil(reach / spacing)
    points = []
    for row in range(-rows, rows + 1):
        for column in range(-columns, columns + 1):
            jitter_x, jitter_y = dice.between(-0.38, 0.38), dice.between(-0.38, 0.38)
            points.append((spacing * (column + row % 2 / 2 + jitter_x), spacing * (0.866 * row + jitter_y)))
    return np.array([p for p in points if math.hypot(*p) < reach])


def grains(plane: Plane, centres: Floats, radii: Floats) -> Floats:
    """Round grains: centres f8 (n, 2), radii f8 (n,), um. Each pixel knows the nearest one only."""
    away, which = cKDTree(centres).query(np.stack([plane.x, plane.y], axis=-1))
    return away - radii[which]
