"""Wrong patches in a network's map, joined to the cell that they lie in: one cell is of one family.

A piece is a connected region of one family. One that is too small for any cell of its family and lies along pieces of
others is no cell, but a patch of the neighbour with which it shares most of its outline. Where the neighbour is of the
family with the largest cells, it is one at any size: white cells push others aside, and what looks like a clump
within one is its nucleus.
"""

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.contacts import Labels, contacts
from segtrain.counting.families import Family

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
