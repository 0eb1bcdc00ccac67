"""What becomes of every pair before a pixel is touched: its size, the patches that are cut from it, and their shards.

Patches are windows of one size, spread evenly over an image from edge to edge. Images go by area filter down and cubic
up, as everywhere in this project. Labels take the nearest pixel, on the same grid, pixel centres upon pixel centres, so
that no class appears that was not there and no edge moves: the usual nearest neighbour of OpenCV counts from pixel
corners, and is off by up to half a pixel.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segtrain.importing.pair_check import CheckedInput, CheckedPair, Size, refuse
from smearsynth.base.errors import UserError
from smearsynth.base.images import MAX_PIXELS, MIN_SIDE, Pixels, size_text
from smearsynth.taxonomy import SPLITS

Map = npt.NDArray[np.unsignedinteger[Any]]
Window = tuple[int, int]
"""Top and left of a patch, px."""
LEAST_SIDE = 8
_SHARD_SAMPLES = 1024
_SHARD_BYTES = 256 << 20
"""Most samples, and about the most bytes before compression, of a shard."""
_BYTES_PER_PIXEL = 4


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


@dataclass(frozen=True, kw_only=True)
class Patches:
    """size: of each. count: of each image, as rows times columns that come nearest to its form; else 0, and as few as
    cover it with neighbours that share `overlap` of a patch's side or more, 0 to under 1."""

    size: Size
    overlap: float = 0.0
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class PlannedPair:
    """A pair, and what becomes of it. um_per_px: of its file. resampled: what image and label are brought to. sample:
    size of its samples, whose top left corners are `windows`. group: number of its group."""

    checked: CheckedPair
    split: str
    group: int
    group_name: str
    um_per_px: float
    resampled: Size
    sample: Size
    windows: tuple[Window, ...]


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """A run of samples of one split and one size. first: number of its first sample in the split."""

    name: str
    split: str
    size: Size
    first: int
    samples: int


def plan_pairs(
    have: CheckedInput, um_per_px: Sequence[float], target: Target, patches: Patches | None
) -> list[PlannedPair]:
    """What becomes of each pair, in the order of their samples in the dataset: by split, by size, by name.

    um_per_px: of each. Raises UserError with every pair that can't become samples of the form that is asked for.
    """
    number = {name: i for i, name in enumerate(dict.fromkeys(have.groups))}
    planned, errors = [], []
    for checked, split, group, scale in zip(have.pairs, have.splits, have.groups, um_per_px, strict=True):
        resampled = target.size_of(checked.size, scale)
        corners = [(0, 0)] if patches is None else windows(patches, resampled) if fits(patches, resampled) else []
        name, size = checked.pair.image, size_text(resampled)
        if resampled[0] * resampled[1] > MAX_PIXELS:
            errors.append(f"{name}: would have {size} px, over {MAX_PIXELS // 10**6} megapixels; cut it into fields.")
        elif min(resampled) < MIN_SIDE:
            errors.append(f"{name}: would have {size} px; at least {MIN_SIDE} px a side are needed: check its scale.")
        elif patches and not corners:
            patch = size_text(patches.size)
            errors.append(f"{name}: has {size} px, too few for these patches of {patch} px; ask for smaller or fewer.")
        planned.append(
            PlannedPair(
                checked=checked,
                split=split,
                group=number[group],
                group_name=group,
                um_per_px=scale,
                resampled=resampled,
                sample=patches.size if patches else resampled,
                windows=tuple(corners),
            )
        )
    refuse(errors)
    return sorted(planned, key=lambda p: (SPLITS.index(p.split), p.sample, p.checked.pair.name.split("/")))


def plan_shards(pairs: Sequence[PlannedPair]) -> Iterator[ShardPlan]:
    """The shards of pairs in their order."""
    for split in SPLITS:
        first = number = 0
        for size in dict.fromkeys(pair.sample for pair in pairs if pair.split == split):
            left = sum(len(pair.windows) for pair in pairs if (pair.split, pair.sample) == (split, size))
            most = max(1, min(_SHARD_SAMPLES, _SHARD_BYTES // (size[0] * size[1] * _BYTES_PER_PIXEL)))
            while left:
                samples = min(left, most)
                yield ShardPlan(name=f"{split}-{number:05d}.h5", split=split, size=size, first=first, samples=samples)
                first, number, left = first + samples, number + 1, left - samples


def read_size(text: str, argument: str) -> Size:
    """ "N", or "WIDTHxHEIGHT", in px. Raises UserError."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(s.isdecimal() and LEAST_SIDE <= int(s) <= 65_535 for s in sides):
        raise UserError(
            f"{text!r} is no size: give a side in px, as 256, or WIDTHxHEIGHT, as 640x480; at least {LEAST_SIDE}",
            argument,
        )
    return int(sides[-1]), int(sides[0])


def read_patches(asked: str) -> Patches:
    """ "SIZE", "SIZE,OVERLAP" (0 to under 1) or "SIZE,N" (1 and more). Raises UserError."""
    side, _, rest = asked.partition(",")
    size = read_size(side, "patches")
    if not rest:
        return Patches(size=size)
    if rest.isdecimal() and int(rest) > 0:
        return Patches(size=size, count=int(rest))
    try:
        overlap = float(rest)
    except ValueError:
        overlap = math.nan
    if not 0 <= overlap < 1:
        raise UserError(
            f"{asked!r} is none: give SIZE,OVERLAP with a share from 0 to under 1, or SIZE,N with a number", "patches"
        )
    return Patches(size=size, overlap=overlap)


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
    return [
        [(places - 1) // 2] if number == 1 else [i * (places - 1) // (number - 1) for i in range(number)]
        for places, number in zip(free, numbers, strict=True)
    ]


def _free(patches: Patches, size: Size) -> list[int]:
    """Places for a patch along either side."""
    return [whole - side + 1 for whole, side in zip(size, patches.size, strict=True)]


def _grids(count: int, free: Sequence[int]) -> list[tuple[int, ...]]:
    """Rows and columns that make `count`."""
    rows = range(1, min(count, free[0]) + 1)
    return [(n, count // n) for n in rows if count % n == 0 and count // n <= free[1]]


def resample(image: Pixels, maps: Sequence[Map], size: Size) -> tuple[Pixels, list[Map]]:
    """All at (h, w) `size`, pixel upon pixel. image: uint8 (h, w, 3). maps: uint8 or uint16 (h, w)."""
    height, width = image.shape[:2]
    if (height, width) == size:
        return image, list(maps)
    shrinks = size[0] <= height and size[1] <= width
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return image, [cv2.resize(one, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT) for one in maps]
