"""Shapes of cells as signed distances, um: negative inside, zero on the outline, positive outside.

Distances combine (union, cut) and antialias at any scale, so one drawing serves every source's magnification. They
are exact for discs and strands, and close enough near the outlines of the others, which is all that an edge needs.
What varies is drawn, as floats, from a keyed stream: no sample of a dataset is decided by a float.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from smearsynth.base import streams
from smearsynth.base.compiled import compiled
from smearsynth.taxonomy import BY_KEY, UM_PER_PX

Floats = npt.NDArray[np.float64]
Point = tuple[float, float]
"""x and y, um."""
T = TypeVar("T")


class KeyedRandom:
    """The random numbers of one drawn thing; the same key always gives the same."""

    def __init__(self, *key: int | str) -> None:
        self._state = streams.stream(*key)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * int(streams.next_u64(self._state)) * 2.0**-64

    def integer(self, low: int, high: int) -> int:
        """In [low, high], both ends included."""
        return int(streams.between(self._state, low, high))

    def choice(self, items: Sequence[T]) -> T:
        return items[self.integer(0, len(items) - 1)]

    def angle(self) -> float:
        """A direction, radians."""
        return self.uniform(0.0, 2 * math.pi)

    def lognormal(self, centre: float, spread: float) -> float:
        """About `centre`: two thirds of the draws are within a factor of 1 +- `spread`."""
        return centre * math.exp(spread * float(self.normal(1)[0]))

    def normal(self, *shape: int) -> Floats:
        """float64 of this shape, mean 0, variance 1, never beyond 3.5: sums of four uniform draws."""
        return _normals(self._state, math.prod(shape)).reshape(shape)


@compiled()
def _normals(state, n):  # type: ignore[no-untyped-def]
    out = np.empty(n)
    for i in range(n):
        bits = streams.next_u64(state)
        total = np.int64(0)
        for _ in range(4):
            total += np.int64(bits & np.uint64(0xFFFF))
            bits >>= np.uint64(16)
        out[i] = (total / 65536.0 - 2.0) * 1.7320508075688772
    return out


@dataclass(frozen=True)
class Plane:
    """Pixel centres around a cell, um: x to the right and y downwards from the cell's centre, float64 (h, w)."""

    x: Floats
    y: Floats
    um_per_px: float

    @classmethod
    def square(cls, reach: float, um_per_px: float) -> "Plane":
        """An odd number of pixels a side, the origin on the middle one, `reach` um to every side."""
        half = math.ceil(reach / um_per_px)
        y, x = np.mgrid[-half : half + 1, -half : half + 1] * um_per_px
        return cls(x, y, um_per_px)

    def warped(self, rng: KeyedRandom, amplitude: float, size: float) -> "Plane":
        """The plane pushed about by some `amplitude` um over distances of `size` um: shapes turn irregular."""
        dx, dy = (amplitude * mottle(rng, self, size) for _ in range(2))
        return Plane(self.x + dx, self.y + dy, self.um_per_px)

    def cover(self, distance: Floats) -> Floats:
        """Share of each pixel that lies inside, 0-1."""
        return np.clip(0.5 - distance / self.um_per_px, 0.0, 1.0)


def blob(rng: KeyedRandom, plane: Plane, area: float, rough: float, waves: int = 7) -> Floats:
    """A closed outline of this area, um2: a circle whose radius swings by about `rough` in 2 to `waves` waves."""
    orders = np.arange(2, waves + 1)
    height = np.array([rng.uniform(0.4, 1.2) * rough / (k - 1) ** 0.8 for k in orders])
    phase = np.array([rng.angle() for _ in orders])

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


def mottle(rng: KeyedRandom, plane: Plane, size: float) -> Floats:
    """A smooth random texture of spots `size` um across, mean about 0, variance about 1.

    Twenty waves, each in a direction of its own.
    """
    total = np.zeros_like(plane.x)
    for i in range(20):
        frequency = math.pi / size * rng.uniform(0.4, 1.5)
        kx, ky = polar(frequency, math.pi * (i + rng.uniform(0, 1)) / 20)
        total += np.cos(kx * plane.x + ky * plane.y + rng.angle())
    return total / math.sqrt(10)


def scatter(rng: KeyedRandom, reach: float, spacing: float) -> Floats:
    """Points of a jittered hexagonal lattice within `reach` um of the origin: float64 (n, 2)."""
    rows, columns = math.ceil(reach / (0.866 * spacing)), math.ceil(reach / spacing)
    points = []
    for row in range(-rows, rows + 1):
        for column in range(-columns, columns + 1):
            jitter_x, jitter_y = rng.uniform(-0.38, 0.38), rng.uniform(-0.38, 0.38)
            points.append((spacing * (column + row % 2 / 2 + jitter_x), spacing * (0.866 * row + jitter_y)))
    return np.array([p for p in points if math.hypot(*p) < reach])


def grains(plane: Plane, centres: Floats, radii: Floats) -> Floats:
    """Round grains: centres float64 (n, 2), radii float64 (n,), um. Each pixel knows the nearest one only."""
    away, which = cKDTree(centres).query(np.stack([plane.x, plane.y], axis=-1))
    return away - radii[which]


@dataclass(frozen=True)
class Drawing:
    """One cell on its own square plane.

    density: float64 (n, n, 3) optical density RGB. outline, nucleus: float64 (n, n) signed distance, um, infinite
    where a cell has no nucleus.
    """

    plane: Plane
    density: Floats
    outline: Floats
    nucleus: Floats

    @property
    def radius_px(self) -> float:
        """Distance of the cell's farthest pixel from its centre, px."""
        far = np.hypot(self.plane.x, self.plane.y)[self.outline < 0]
        return float(far.max()) / self.plane.um_per_px


def coat(density: Floats, dye: Floats, cover: Floats) -> Floats:
    """The density with a dye (float64 (3,) or (n, n, 3)) in place of what was there, where `cover` (n, n) is 1."""
    return density + (dye - density) * cover[..., None]


def typical_area(class_key: str) -> float:
    """Mean area of the class, um2, from the taxonomy."""
    return BY_KEY[class_key].area * UM_PER_PX**2
