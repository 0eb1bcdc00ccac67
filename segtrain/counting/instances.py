"""From a network's label map to the cells in it: holes filled, wrong patches joined, touching cells split.

Classes whose cells are alike form a class group (red cells, white cells, platelets): a red cell is one cell, however
much of it looks infected. Within a group pixels are pooled before cells are split, and the class is voted on after it.

A piece is a connected region of one group. A piece that is too small for any cell of its group and that borders on
pieces of others is a wrong patch of the neighbour with which it shares most of its outline. Where that neighbour is of
the group with the largest cells it is a patch at any size: white cells push others aside, so what looks like a clump
within one is its nucleus.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.watershed_split import Labels, adjacent_pixels, fragment_owners, split_touching
from smearsynth.taxonomy import CLASSES, FOREGROUND_CLASSES, HEALTHY_RBC, RED_CELLS, UM_PER_PX, WHITE_CELLS

GroupMap = npt.NDArray[np.uint8]
"""uint8 (H, W): 0 = background, else 1 + index of a class group."""

PLATELETS = tuple(c for c in FOREGROUND_CLASSES if c not in WHITE_CELLS)
_GROUPS = {"red cells": RED_CELLS, "white cells": WHITE_CELLS, "platelets": PLATELETS}

_MAX_HOLE = 0.3
"""Area of a hole that is filled, at most, as a share of the smallest class whose cells are split."""
_MIN_ROUNDNESS = 0.6
"""Share of the smallest disc around it that a hole in a cell fills, at least. The gap between three discs that touch
fills 0.15, between four 0.27, and where they overlap more, but no gap with hollow sides fills as much as a square."""
_WHOLE = 0.5
"""Area from which a piece is a cell, as a share of the smallest class of its group. Cells that the border cuts show
less, but do not border on another group for so long. On predictions of a small network the count is wrong by 1.17 cells
a smear, with 0.35 by 1.33."""
_BORDERING = 0.4
"""Share of a patch's outline that borders on other pieces, at least."""
_MAX_CLUMP = 4.0
"""Area above which a piece is no clump, in areas of the largest class of a group that is not split. Clumps of
`smear10-open` reach 4.9, and keep their group where no other has enough votes."""
_MIN_VOTES = 0.25
"""Share of a cell's pixels that a group needs to claim it from a group that it is too small for."""
_SPECK = 0.08
"""Area under which what is left is no cell, as a share of the smallest class of its group. (Scenes of `smearsynth`
leave out cells that show under 0.15 of themselves.)"""


@dataclass(frozen=True)
class ClassGroup:
    """ids: labels of its classes. area: mean px of a whole cell. min_area, max_area: mean px of its smallest and its
    largest class. split: whether touching cells are split; platelets that touch are a clump, which counts as one."""

    name: str
    ids: tuple[int, ...]
    area: float
    min_area: float
    max_area: float
    split: bool = True


def class_groups(keys: Sequence[str], um_per_px: float) -> tuple[ClassGroup, ...]:
    """The groups among a network's classes. keys: of labels 0 to n - 1, background first. um_per_px: of the label map.

    A class that the taxonomy does not know, such as the `cell` of black and white masks, is a group of its own and
    taken to be as large as a red cell.
    """
    factor = (UM_PER_PX / um_per_px) ** 2
    groups = []
    for name, members in _GROUPS.items():
        areas = {keys.index(c.key): c.area * factor for c in CLASSES if c.id in members and c.key in keys}
        if areas:
            sizes = areas.values()
            mean, split = sum(sizes) / len(sizes), members is not PLATELETS
            groups.append(ClassGroup(name, tuple(areas), mean, min(sizes), max(sizes), split))
    red = CLASSES[HEALTHY_RBC].area * factor
    known = {c.key for c in CLASSES}
    return (*groups, *(ClassGroup(key, (i,), red, red, red) for i, key in enumerate(keys) if i and key not in known))


def label_cells(label: npt.NDArray[np.uint8], groups: Sequence[ClassGroup]) -> tuple[Labels, npt.NDArray[np.intp]]:
    """int32 (H, W): 0 = background, else 1 + row of the cell; and int64 (n,): the index of its group.

    label: uint8 (H, W), class ids; those of no group are background.
    """
    group_of_class = np.zeros(256, np.uint8)
    for index, group in enumerate(groups):
        group_of_class[list(group.ids)] = 1 + index
    max_hole = _MAX_HOLE * min((group.min_area for group in groups if group.split), default=0.0)
    group_map = join_patches(_fill_holes(group_of_class[label], max_hole), groups)
    cells = np.zeros(label.shape, np.int32)
    group_of: list[int] = []
    for index, group in enumerate(groups):
        mask = group_map == 1 + index
        found = split_touching(mask, area=group.area) if group.split else ndimage.label(mask, np.ones((3, 3)))[0]
        cells[mask] = found[mask] + len(group_of)
        group_of += [index] * int(found.max())
    owner = fragment_owners(cells, np.array([0.0, *(groups[index].min_area for index in group_of)]))
    kept, number = np.unique(owner, return_inverse=True)
    return number.astype(np.int32)[cells], np.array(group_of, np.intp)[kept[1:] - 1]


def _fill_holes(group_map: GroupMap, max_area: float) -> GroupMap:
    """`group_map` in which each hole has the group that is most frequent around it: the pale centre of a red cell is no
    glass. A hole is a region of background of at most `max_area` px, away from the border, and nearly round: what
    touching cells enclose is not."""
    count, label, stats, _ = cv2.connectedComponentsWithStats((group_map == 0).astype(np.uint8), connectivity=4)
    border = np.unique(np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]]))
    filled = group_map.copy()
    for i in set(range(1, count)) - set(border.tolist()):
        left, top, width, height, area = stats[i].tolist()
        if area > max_area:
            continue
        window = np.s_[top - 1 : top + height + 1, left - 1 : left + width + 1]
        hole = label[window] == i
        _, radius = cv2.minEnclosingCircle(cv2.findNonZero(hole.astype(np.uint8)))
        # The circle runs through the centres of pixels, which have a breadth of their own.
        if area >= _MIN_ROUNDNESS * math.pi * (radius + 0.5) ** 2:
            around = ndimage.binary_dilation(hole) & ~hole
            filled[window][hole] = np.bincount(group_map[window][around]).argmax()
    return filled


def join_patches(group_map: GroupMap, groups: Sequence[ClassGroup]) -> GroupMap:
    """`group_map` with every wrong patch in the group of the cell that it is part of, and without specks."""
    piece, group_of = np.zeros(group_map.shape, np.int32), [0]
    for number in range(1, len(groups) + 1):
        label, count = ndimage.label(group_map == number)
        piece += np.where(label > 0, label + (len(group_of) - 1), 0).astype(np.int32)
        group_of += [number] * count
    merger = _PatchMerger(piece, np.array(group_of), groups)
    merger.run()
    return merger.groups()[piece]


class _PatchMerger:
    """Joins pieces, the smallest first, until no piece is a patch of another.

    piece: int32 (H, W), 0 = background, else 1 to n. group_of: int64 (n + 1,), of each piece.
    """

    def __init__(self, piece: Labels, group_of: npt.NDArray[np.intp], groups: Sequence[ClassGroup]) -> None:
        self._min_area = np.array([0.0, *(group.min_area for group in groups)])
        self._max_area = np.array([0.0, *(np.inf if group.split else _MAX_CLUMP * group.max_area for group in groups)])
        self._largest = int(self._min_area.argmax())
        self._pixels = np.zeros((len(group_of), len(self._min_area)))
        self._pixels[np.arange(len(group_of)), group_of] = np.bincount(piece.ravel(), minlength=len(group_of))
        self._owner = list(range(len(group_of)))
        self._border: list[dict[int, int]] = [{} for _ in group_of]
        """Of each piece: px of outline along each other piece, 0 being the background."""
        pairs, lengths = np.unique(adjacent_pixels(piece)[0], axis=0, return_counts=True)
        for (i, j), length in zip(pairs.tolist(), lengths.tolist(), strict=True):
            self._border[i][j] = self._border[j][i] = length

    def run(self) -> None:
        queue = [(self._area(i), i) for i in range(1, len(self._owner))]
        heapq.heapify(queue)
        while queue:
            area, i = heapq.heappop(queue)
            if self._owner[i] == i and area == self._area(i) and (j := self._cell_of(i)):
                self._join(i, j)
                heapq.heappush(queue, (self._area(j), j))

    def groups(self) -> npt.NDArray[np.uint8]:
        """uint8 (n + 1,): 1 + index of the group that each piece is of now, 0 for specks."""
        of = np.zeros(len(self._owner), np.uint8)
        for i in range(1, len(of)):
            if self._owner[i] == i and self._area(i) >= _SPECK * self._min_area[self._group(i)]:
                of[i] = self._group(i)
        return of[[self._root(i) for i in range(len(of))]]

    def _cell_of(self, i: int) -> int:
        """The piece that `i` is a patch of, 0 where it is none."""
        beside = {j: length for j, length in self._border[i].items() if j}
        if self._area(i) >= _WHOLE * self._min_area[self._group(i)]:
            beside = {j: length for j, length in beside.items() if self._group(j) == self._largest}
        if sum(beside.values()) < max(1, _BORDERING * sum(self._border[i].values())):
            return 0
        return max(beside, key=lambda j: beside[j])

    def _join(self, gone: int, kept: int) -> None:
        self._owner[gone] = kept
        self._pixels[kept] += self._pixels[gone]
        for other, length in self._border[gone].items():
            del self._border[other][gone]
            if other != kept:
                total = self._border[kept].get(other, 0) + length
                self._border[kept][other] = self._border[other][kept] = total

    def _area(self, i: int) -> float:
        return float(self._pixels[i].sum())

    def _group(self, i: int) -> int:
        """The group with most pixels: of those with enough votes that the piece is neither too small nor too large for,
        if there is any."""
        pixels, area = self._pixels[i], self._area(i)
        fit = (pixels >= _MIN_VOTES * area) & (area >= _WHOLE * self._min_area) & (area <= self._max_area)
        return int(np.argmax(pixels * fit if fit.any() else pixels))

    def _root(self, i: int) -> int:
        while self._owner[i] != i:
            i = self._owner[i]
        return i
