"""Outlines of cells, as annotation tools state them, and the pixels that they hold.

Coordinates count from the upper left corner of an image: its first pixel reaches from 0 to 1, and its centre is at 0.5.
So COCO, QuPath, CVAT, YOLO and ImageJ have it. A pixel is inside where its centre is; a centre on the very edge belongs
to what lies right of it or below. Outlines that share an edge so share no pixel and leave none out, as filling by cv2,
Pillow or skimage would, which draw the edge of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smearsynth.base.images import MAX_PIXELS

Mask = npt.NDArray[np.bool_]
Window = tuple[slice, slice]
"""Rows and columns."""
Point = tuple[float, float]
Ring = tuple[Point, ...]
"""x, y of the corners; the last is joined to the first."""
Bounds = tuple[float, float, float, float]
"""x, y of the upper left corner, width, height; px."""

_AT_ONCE = 1024
"""Sides of a polygon that are filled at a time: each crosses every row of an image at most."""
_CORNERS = 72
"""Of the polygon that an ellipse becomes: it lies within 0.1 % of the radius."""


@dataclass(frozen=True)
class Polygons:
    """parts: one or several pieces, each an outer ring and the rings of its holes. What lies in an even number of the
    rings of a piece is outside of it."""

    parts: tuple[tuple[Ring, ...], ...]

    @property
    def bounds(self) -> Bounds:
        corners = np.array([corner for part in self.parts for ring in part for corner in ring])
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return left, top, right - left, bottom - top

    def scaled(self, across: float, down: float) -> "Polygons":
        """With every x times `across` and every y times `down`."""
        return Polygons(
            tuple(tuple(tuple((x * across, y * down) for x, y in ring) for ring in part) for part in self.parts)
        )

    def draw(self, shape: tuple[int, int]) -> tuple[Window, Mask]:
        """A window of an image of (h, w) `shape`, and bool of that size, true in the outline."""
        x, y, width, height = self.bounds
        rows, columns = _between(y, y + height, shape[0]), _between(x, x + width, shape[1])
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
        if mask.size:
            for part in self.parts:
                mask |= _filled(part, rows, columns)
        return (rows, columns), mask


@dataclass(frozen=True)
class Raster:
    """Pixels in a box at x `left`, y `top`. bits: of its rows, one after another, eight to a byte. made_on: (h, w) of
    the image where it is known; on a copy of another size it lies beside its cell."""

    left: int
    top: int
    width: int
    height: int
    bits: bytes
    made_on: tuple[int, int] | None = None

    @classmethod
    def of(cls, mask: Mask, left: int = 0, top: int = 0) -> "Raster":
        """The smallest box that holds all of a mask, bool (h, w), whose own corner is at left, top."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not rows.size:
            return cls(left, top, 0, 0, b"")
        y, x = int(rows[0]), int(columns[0])
        cut = mask[y : rows[-1] + 1, x : columns[-1] + 1]
        return cls(left + x, top + y, cut.shape[1], cut.shape[0], np.packbits(cut).tobytes())

    @property
    def bounds(self) -> Bounds:
        return self.left, self.top, self.width, self.height

    def draw(self, shape: tuple[int, int]) -> tuple[Window, Mask]:
        """As `Polygons.draw`."""
        bits = np.unpackbits(np.frombuffer(self.bits, np.uint8), count=self.width * self.height)
        mask = bits.reshape(self.height, self.width).astype(bool)
        top, left = max(0, self.top), max(0, self.left)
        bottom, right = max(top, shape[0]), max(left, shape[1])
        mask = mask[top - self.top : bottom - self.top, left - self.left : right - self.left]
        return (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])), mask


Outline = Polygons | Raster


def rectangle(x: float, y: float, width: float, height: float) -> Polygons:
    return Polygons(((((x, y), (x + width, y), (x + width, y + height), (x, y + height)),),))


def ellipse(x: float, y: float, across: float, down: float) -> Polygons:
    """With its centre at x, y; across, down: half of its width and of its height."""
    angles = 2 * np.pi * np.arange(_CORNERS) / _CORNERS
    # Half-way between a polygon inside and one outside of it.
    wide = 2 / (1 + np.cos(np.pi / _CORNERS))
    corners = np.stack([x + wide * across * np.cos(angles), y + wide * down * np.sin(angles)], axis=1)
    return Polygons((((tuple(map(tuple, corners.tolist()))),),))


def turned(outline: Polygons, degrees: float) -> Polygons:
    """Turned clockwise, as the image is seen, around the middle of its bounds."""
    x, y, width, height = outline.bounds
    middle_x, middle_y = x + width / 2, y + height / 2
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))

    def turn(corner: Point) -> Point:
        across, down = corner[0] - middle_x, corner[1] - middle_y
        return middle_x + cosine * across - sine * down, middle_y + sine * across + cosine * down

    return Polygons(tuple(tuple(tuple(map(turn, ring)) for ring in part) for part in outline.parts))


def runs_to_mask(counts: Sequence[int], height: int, width: int, *, by_columns: bool) -> Mask:
    """bool (h, w) of run lengths: pixels out, in, out and so on, row by row or column by column. Raises ValueError
    where they are not as many as the mask has."""
    if min(height, width) <= 0 or height * width > MAX_PIXELS:
        raise ValueError(f"a mask of {width}x{height} px is no image's")
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"its run lengths make {sum(counts)} pixels, and the mask has {width}x{height}")
    lengths = np.array(counts, np.int64)
    flat = np.repeat(np.arange(lengths.size) % 2 == 1, lengths)
    return flat.reshape(width, height).T if by_columns else flat.reshape(height, width)


def decompressed(text: str) -> list[int]:
    """The run lengths in COCO's compressed form: groups of five bits, the lowest first, in characters from "0" on, of
    which the sixth bit says that another follows; from the fourth on a length is stored as its difference to the one
    two before. Raises ValueError.

    pycocotools reads the same, but beyond the end of a text that was cut.
    """
    groups = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - ord("0")
    if not groups.size or groups.min() < 0 or groups.max() > 63 or groups[-1] & 32:
        raise ValueError("its compressed run lengths are cut, or none")
    last = np.flatnonzero(groups & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    sizes = last - first + 1
    if sizes.max() > 7:
        raise ValueError("a compressed run length is longer than any image")
    place = np.arange(groups.size) - np.repeat(first, sizes)
    values = np.add.reduceat((groups & 31) << 5 * place, first)
    values -= np.where(groups[last] & 16, 1 << 5 * sizes, 0)
    values[1::2], values[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    return values.tolist()


def _between(low: float, high: float, side: int) -> slice:
    """The pixels of a side whose centres lie from `low` to under `high`."""
    start = min(max(0, int(np.ceil(low - 0.5))), side)
    return slice(start, max(start, min(side, int(np.ceil(high - 0.5)))))


def _filled(rings: Sequence[Ring], rows: slice, columns: slice) -> Mask:
    """bool, of the window: where a line to the left crosses the rings an odd number of times."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    flips = np.zeros(height * (width + 1), np.int64)
    sides = np.concatenate([np.stack([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in map(np.array, rings)])
    # From above to below, so that two outlines that share a side find the same crossings on it.
    upwards = sides[:, 0, 1] > sides[:, 1, 1]
    sides[upwards] = sides[upwards, ::-1]
    for start in range(0, len(sides), _AT_ONCE):
        (x0, y0), (x1, y1) = sides[start : start + _AT_ONCE].transpose(1, 2, 0)
        low, high = (np.clip(np.ceil(y - 0.5), rows.start, rows.stop).astype(int) for y in (y0, y1))
        side = np.repeat(np.arange(len(low)), high - low)
        row = np.arange(len(side)) - np.repeat(np.cumsum(high - low) - (high - low), high - low) + low[side]
        share = (row + 0.5 - y0[side]) / (y1 - y0)[side]
        x = x0[side] + share * (x1 - x0)[side]
        column = np.clip(np.ceil(x - 0.5), columns.start, columns.stop).astype(int)
        flips += np.bincount((row - rows.start) * (width + 1) + column - columns.start, minlength=flips.size)
    inside: Mask = np.cumsum(flips.reshape(height, width + 1), axis=1)[:, :-1] % 2 == 1
    return inside
