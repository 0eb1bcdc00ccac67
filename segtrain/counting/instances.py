"""Classes whose cells part and vote together: a red cell is one cell, however much of it looks infected.

Holes in cells, filled: the pale centre of a red cell is no glass.

Wrong patches in a network's map, joined to the cell that they lie in: one cell is of one family.

A piece is a connected region of one family. One that is too small for any cell of its family and lies along pieces of
others is no cell, but a patch of the neighbour with which it shares most of its outline. Where the neighbour is of the
family with the largest cells, it is one at any size: white cells push others aside, and what looks like a clump
within one is its nucleus.

Cells of a field: which pixels are of which cell, out of the label map that a network gives.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.watershed_split import Labels, contacts, owners, part
from smearsynth.taxonomy import CLASSES, FOREGROUND_CLASSES, HEALTHY_RBC, RED_CELLS, UM_PER_PX, WHITE_CELLS

PLATELETS = tuple(c for c in FOREGROUND_CLASSES if c not in WHITE_CELLS)
_GROUPS = {"red cells": RED_CELLS, "white cells": WHITE_CELLS, "platelets": PLATELETS}


@dataclass(frozen=True)
class Family:
    """ids: labels of its classes. area: mean px of a whole cell. least, most: mean px of its smallest and its largest
    class. parted: whether cells that touch are told apart; platelets that touch are a clump, which counts as one."""

    name: str
    ids: tuple[int, ...]
    area: float
    least: float
    most: float
    parted: bool = True


def families(keys: Sequence[str], um_per_px: float) -> tuple[Family, ...]:
    """The families among a network's classes. keys: of labels 0 to n - 1, background first. um_per_px: of the label
    map, for the areas.

    A class that the taxonomy does not know, such as the `cell` of black and white masks, is a family of its own and
    taken to be as large as a red cell.
    """
    factor = (UM_PER_PX / um_per_px) ** 2
    found = []
    for name, members in _GROUPS.items():
        areas = {keys.index(c.key): c.area * factor for c in CLASSES if c.id in members and c.key in keys}
        if areas:
            sizes = areas.values()
            mean, parted = sum(sizes) / len(sizes), members is not PLATELETS
            found.append(Family(name, tuple(areas), mean, min(sizes), max(sizes), parted))
    red = CLASSES[HEALTHY_RBC].area * factor
    known = {c.key for c in CLASSES}
    found += [Family(key, (i,), red, red, red) for i, key in enumerate(keys) if i and key not in known]
    return tuple(found)


_ROUND = 0.6
"""Share of the smallest disc around it that a hole in a cell fills, at least. The gap between three discs that touch
fills 0.15, between four 0.27, and where they overlap more, but no gap with hollow sides fills as much as a square."""


def fill_holes(kind: npt.NDArray[np.uint8], largest: float) -> npt.NDArray[np.uint8]:
    """u1 (h, w): a map in which each hole has the number that is most frequent around it.

    kind: u1 (h, w), 0 = background. A hole is a region of background of at most `largest` px, away from the border, and
    nearly round: what cells enclose that touch is not.
    """
    count, label, stats, _ = cv2.connectedComponentsWithStats((kind == 0).astype(np.uint8), connectivity=4)
    edge = np.unique(np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]]))
    filled = kind.copy()
    for i in set(range(1, count)) - set(edge.tolist()):
        left, top, width, height, area = stats[i].tolist()
        if area > largest:
            continue
        window = np.s_[top - 1 : top + height + 1, left - 1 : left + width + 1]
        hole = label[window] == i
        if area >= _ROUND * _disc_area(hole):
            around = ndimage.binary_dilation(hole) & ~hole
            filled[window][hole] = np.bincount(kind[window][around]).argmax()
    return filled


def _disc_area(region: npt.NDArray[np.bool_]) -> float:
    """Of the smallest disc that holds all pixels of `region`, whose own breadth counts."""
    _, radius = cv2.minEnclosingCircle(cv2.findNonZero(region.astype(np.uint8)))
    return math.pi * (radius + 0.5) ** 2


Kinds = npt.NDArray[np.uint8]
_WHOLE = 0.5
"""Share of its family's smallest class from which a piece is a cell. Cells that the border cuts show less, but these
don't lie along another family for so long. On predictions of a small network the count is wrong by 1.17 cells a smear,
by 1.33 with 0.35."""
_ALONG = 0.4
"""Share of a patch's outline that lies along other families, at least."""
_MOST = 4.0
"""Times the area of its largest class above which a region of a family whose cells are not parted is none of its
cells; clumps of `smear10-open` reach 4.9, and keep their family where no other has a voice."""
_VOICE = 0.25
"""Share of a cell's pixels that a family needs to claim it from one that it is too small for."""
_SPECK = 0.08
"""Share of its family's smallest class under which what is left is dirt. (Scenes of `smearsynth` leave out cells that
show under 0.15 of themselves.)"""


def join_patches(kind: Kinds, families: Sequence[Family]) -> Kinds:
    """u1 (h, w): `kind` with every patch as its cell is, and without specks. kind: u1 (h, w), 0 = background, else
    1 + place in `families`."""
    piece, of = _pieces(kind, len(families))
    found = _Joining(piece, of, families)
    found.run()
    return found.kinds()[piece]


def _pieces(kind: Kinds, families: int) -> tuple[Labels, npt.NDArray[np.intp]]:
    """i4 (h, w): number of each piece, 0 = background, and i8 (n + 1,): what kind it is of."""
    piece, of = np.zeros(kind.shape, np.int32), [0]
    for k in range(1, families + 1):
        label, count = ndimage.label(kind == k)
        piece += np.where(label > 0, label + (len(of) - 1), 0).astype(np.int32)
        of += [k] * count
    return piece, np.array(of)


class _Joining:
    """Pieces that become fewer. After `run`, `owner` has the piece that each one belongs to."""

    def __init__(self, piece: Labels, of: npt.NDArray[np.intp], families: Sequence[Family]) -> None:
        self._least = np.array([0.0, *(family.least for family in families)])
        self._most = np.array([0.0, *(np.inf if family.parted else _MOST * family.most for family in families)])
        self._largest = int(self._least.argmax())
        self._pixels = np.zeros((len(of), len(self._least)))
        self._pixels[np.arange(len(of)), of] = np.bincount(piece.ravel(), minlength=len(of))
        self._owner = list(range(len(of)))
        self._along: list[dict[int, int]] = [{} for _ in of]
        """Of each piece: pixels of outline along each other one."""
        pairs, lengths = np.unique(contacts(piece)[0], axis=0, return_counts=True)
        for (i, j), length in zip(pairs.tolist(), lengths.tolist(), strict=True):
            self._along[i][j] = self._along[j][i] = length

    def run(self) -> None:
        """Joins patches, the smallest first."""
        queue = [(self._area(i), i) for i in range(1, len(self._owner))]
        heapq.heapify(queue)
        while queue:
            area, i = heapq.heappop(queue)
            if self._owner[i] == i and area == self._area(i) and (j := self._cell_of(i)):
                self._join(i, j)
                heapq.heappush(queue, (self._area(j), j))

    def _cell_of(self, i: int) -> int:
        """The piece that `i` is a patch of, 0 where it is none."""
        beside = {j: length for j, length in self._along[i].items() if j}
        if self._whole(i):
            beside = {j: length for j, length in beside.items() if self._kind(j) == self._largest}
        if sum(beside.values()) < max(1, _ALONG * sum(self._along[i].values())):
            return 0
        return max(beside, key=lambda j: beside[j])

    def kinds(self) -> Kinds:
        """u1 (n + 1,): what each piece has become; 0 where it is dirt."""
        of = np.zeros(len(self._owner), np.uint8)
        for i in range(1, len(of)):
            if self._owner[i] == i and self._area(i) >= _SPECK * self._least[self._kind(i)]:
                of[i] = self._kind(i)
        return of[[self._root(i) for i in range(len(of))]]

    def _join(self, gone: int, kept: int) -> None:
        self._owner[gone] = kept
        self._pixels[kept] += self._pixels[gone]
        for other, length in self._along[gone].items():
            del self._along[other][gone]
            if other != kept:
                total = self._along[kept].get(other, 0) + length
                self._along[kept][other] = self._along[other][kept] = total

    def _area(self, i: int) -> float:
        return float(self._pixels[i].sum())

    def _kind(self, i: int) -> int:
        """The family with most pixels, of those with a voice the ones that it is large enough for, if there are any."""
        pixels, area = self._pixels[i], self._area(i)
        fit = (pixels >= _VOICE * area) & (area >= _WHOLE * self._least) & (area <= self._most)
        return int(np.argmax(pixels * fit if fit.any() else pixels))

    def _whole(self, i: int) -> bool:
        return self._area(i) >= _WHOLE * self._least[self._kind(i)]

    def _root(self, i: int) -> int:
        while self._owner[i] != i:
            i = self._owner[i]
        return i


_HOLE = 0.3
"""Of the smallest family that cells are parted in: largest hole that is filled, as a share of a cell's area."""


def find_cells(label: npt.NDArray[np.uint8], families: Sequence[Family]) -> tuple[Labels, npt.NDArray[np.intp]]:
    """i4 (h, w): 0 = background, else 1 + row of the cell; and i8 (n,): its place in `families`.

    label: u1 (h, w), class ids; those of no family are background.
    """
    table = np.zeros(256, np.uint8)
    for place, family in enumerate(families):
        table[list(family.ids)] = 1 + place
    hole = _HOLE * min((family.least for family in families if family.parted), default=0.0)
    kind = join_patches(fill_holes(table[label], hole), families)
    cells = np.zeros(label.shape, np.int32)
    of: list[int] = []
    for place, family in enumerate(families):
        mask = kind == 1 + place
        found = part(mask, area=family.area) if family.parted else ndimage.label(mask, np.ones((3, 3)))[0]
        cells[mask] = found[mask] + len(of)
        of += [place] * int(found.max())
    owner = owners(cells, np.array([0.0, *(families[place].least for place in of)]))
    kept, number = np.unique(owner, return_inverse=True)
    return number.astype(np.int32)[cells], np.array(of, np.intp)[kept[1:] - 1]
