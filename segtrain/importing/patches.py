"""Windows of one size, spread evenly over an image from edge to edge.

An image and its label to another size, pixel upon pixel.

Images go by area filter down and cubic up, as everywhere in this project. Labels take the nearest pixel, on the same
grid, pixel centres upon pixel centres, so that no class appears that was not there and no edge moves: the usual nearest
neighbour of OpenCV counts from pixel corners, and is off by up to half a pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2

from smearsynth.base.errors import UserError
from smearsynth.base.images import Pixels

Size = tuple[int, int]
"""Height and width, px."""
Window = tuple[int, int]
"""Top and left of a patch, px."""
LEAST_SIDE = 8


@dataclass(frozen=True, kw_only=True)
class Patches:
    """size: of each. count: of each image, as rows times columns that come nearest to its form; else 0, and as few as
    cover it with neighbours that share `overlap` of a patch's side or more, 0 to under 1."""

    size: Size
    overlap: float = 0.0
    count: int = 0


def read_size(text: str, option: str) -> Size:
    """ "N", or "WIDTHxHEIGHT", in px. Raises UserError."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(s.isdecimal() and LEAST_SIDE <= int(s) <= 65_535 for s in sides):
        raise UserError(
            f"{option} {text}: give a side in px, as 256, or WIDTHxHEIGHT, as 640x480; at least {LEAST_SIDE}."
        )
    return int(sides[-1]), int(sides[0])


def read_patches(asked: str) -> Patches:
    """ "SIZE", "SIZE,OVERLAP" (0 to under 1) or "SIZE,N" (1 and more). Raises UserError."""
    size, _, rest = asked.partition(",")
    sides = read_size(size, "--patches")
    if not rest:
        return Patches(size=sides)
    if rest.isdecimal() and int(rest) > 0:
        return Patches(size=sides, count=int(rest))
    try:
        overlap = float(rest)
    except ValueError:
        overlap = math.nan
    if not 0 <= overlap < 1:
        raise UserError(
            f"--patches {asked}: give SIZE,OVERLAP with a share from 0 to under 1, or SIZE,N with a number."
        )
    return Patches(size=sides, overlap=overlap)


def fits(patches: Patches, size: Size) -> bool:
    """Whether an image of that size holds the patches, no two of them the same."""
    free = _free(patches, size)
    return min(free) > 0 and (not patches.count or bool(_grids(patches.count, free)))


def windows(patches: Patches, size: Size) -> list[Window]:
    """All patches of an image, row by row. size: of the image, which holds them."""
    tops, lefts = _starts(patches, size)
    return [(top, left) for top in tops for left in lefts]


def cover(patches: Patches, size: Size) -> bool:
    """Whether every pixel of an image is in a patch."""
    for starts, whole, side in zip(_starts(patches, size), size, patches.size, strict=True):
        if starts[0] > 0 or starts[-1] + side < whole or any(b - a > side for a, b in pairwise(starts)):
            return False
    return True


def _starts(patches: Patches, size: Size) -> list[list[int]]:
    """Tops, and lefts."""
    free = _free(patches, size)
    if patches.count:
        # The grid whose form comes nearest to that of what a patch's corner moves over.
        form = math.log(free[0] / free[1])
        numbers = min(_grids(patches.count, free), key=lambda grid: abs(math.log(grid[0] / grid[1]) - form))
    else:
        steps = (max(1, math.floor(side * (1 - patches.overlap))) for side in patches.size)
        numbers = tuple(1 + math.ceil((places - 1) / step) for places, step in zip(free, steps, strict=True))
    return [_spread(places, number) for places, number in zip(free, numbers, strict=True)]


def _free(patches: Patches, size: Size) -> list[int]:
    """Places for a patch along either side."""
    return [whole - side + 1 for whole, side in zip(size, patches.size, strict=True)]


def _grids(count: int, free: Sequence[int]) -> list[tuple[int, ...]]:
    """Rows and columns that make `count`."""
    rows = range(1, min(count, free[0]) + 1)
    return [(n, count // n) for n in rows if count % n == 0 and count // n <= free[1]]


def _spread(places: int, number: int) -> list[int]:
    if number == 1:
        return [(places - 1) // 2]
    return [i * (places - 1) // (number - 1) for i in range(number)]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What images are brought to: a scale, um/px, or a size, or neither."""

    um_per_px: float | None = None
    size: Size | None = None

    def size_of(self, size: Size, um_per_px: float) -> Size:
        """What an image of that size and scale becomes."""
        if self.size is not None:
            return self.size
        if self.um_per_px is None:
            return size
        height, width = (max(1, round(side * um_per_px / self.um_per_px)) for side in size)
        return height, width

    def um_per_px_of(self, size: Size, um_per_px: float) -> float:
        """Its scale then; the geometric mean of both directions, where a size stretches it."""
        if self.um_per_px is not None:
            return self.um_per_px
        height, width = self.size_of(size, um_per_px)
        return um_per_px * math.sqrt(size[0] * size[1] / (height * width))


def resample(image: Pixels, label: Pixels, size: Size) -> tuple[Pixels, Pixels]:
    """image: u1 (h, w, 3). label: u1 (h, w)."""
    if label.shape == size:
        return image, label
    shape = size[::-1]
    shrinks = size[0] <= label.shape[0] and size[1] <= label.shape[1]
    image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return image, cv2.resize(label, shape, interpolation=cv2.INTER_NEAREST_EXACT)
