"""Where the regions of a label map meet.

A mask cut into basins of its distance transform, and what parts two of them.

S. Beucher and C. Lantuejoul, Use of watersheds in contour detection, 1979. A cell has at least one basin; ragged ones
have several.

Splinters between cells, given to the cell that they lie along: parting leaves them where an outline is ragged, and
joining patches where one cell was seen as two.

Halves of one cell, joined: a fold or a pale slit may cut a cell so deep that its halves look like two cells.

Together they are what one cell is: of its size, and nearly convex. Two cells that touch are neither.

Cells that touch, parted: basins of the distance transform are joined again where they look like one cell.

Two basins are one cell where the neck between them is nearly as wide as the narrower of them, and the more so the
larger both are together: half a cell's area may have a slight waist, more than a whole one must have none.
"""

import heapq
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

Labels = npt.NDArray[np.int32]
"""i4 (h, w): a region's number at each pixel."""
Numbers = npt.NDArray[np.int64]
_NEIGHBOURS = ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1]))


def contacts(label: Labels) -> tuple[Numbers, Numbers]:
    """Every pair of 4-neighbours of different regions, as i8 (n, 2) twice: the regions' numbers, the smaller first, and
    the places of the two pixels in the flat map."""
    place = np.arange(label.size).reshape(label.shape)
    meet = [(label[one] != label[other], one, other) for one, other in _NEIGHBOURS]
    places = np.concatenate([np.stack([place[one][m], place[other][m]], axis=1) for m, one, other in meet])
    numbers = label.ravel()[places].astype(np.int64)
    return np.sort(numbers, axis=1), places


Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

_SMOOTH = 0.06
"""Deviation of the Gaussian over the distance transform, in radii of a cell: steps of a pixelled outline vanish."""
_APART = 0.3
"""Summits nearer than that, in radii of a cell, are one."""


@dataclass(frozen=True)
class Basins:
    """label: i4 (h, w), 0 = outside, else 1 to n. summit: f4 (n + 1,), px, the largest distance to the outside in each.
    necks: of each pair (i, j), i < j, that touches, the largest such distance on their common border, px."""

    label: Labels
    summit: Floats
    necks: dict[tuple[int, int], float]


def basins(mask: Mask, radius: float) -> Basins:
    """mask: bool (h, w). radius: px of a typical cell. Beyond the image, cells go on."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Where nothing is outside, the distance is a number so large that a sum of it overflows.
    depth = cv2.GaussianBlur(np.minimum(depth, max(mask.shape)), (0, 0), max(_SMOOTH * radius, 0.5))
    side = 2 * int(_APART * radius) + 1
    around = cv2.dilate(depth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    summits, count = ndimage.label(mask & (depth == around), np.ones((3, 3)))
    label = watershed(-depth, summits, mask=mask).astype(np.int32)
    summit = np.zeros(count + 1, np.float32)
    np.maximum.at(summit, label.ravel(), depth.ravel())
    return Basins(label, summit, _necks(label, depth))


def _necks(label: Labels, depth: Floats) -> dict[tuple[int, int], float]:
    pairs, places = contacts(label)
    inside = pairs[:, 0] > 0
    height = depth.ravel()[places[inside]].min(axis=1)
    touching, which = np.unique(pairs[inside], axis=0, return_inverse=True)
    widest = np.zeros(len(touching), np.float32)
    np.maximum.at(widest, which.ravel(), height)
    return {(int(i), int(j)): float(neck) for (i, j), neck in zip(touching, widest, strict=True)}


_SPLINTER = 0.2
"""Share of the area of its family's smallest class under which a cell may be a splinter."""
_ALONG = 0.5
"""Share of a splinter's outline that lies along other cells, at least."""


def owners(cells: Labels, least: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """i8 (n + 1,): the cell that each one belongs to, itself mostly. cells: i4 (h, w), 0 = background, else 1 to n.
    least: f8 (n + 1,), px of a small whole cell of its family."""
    sizes = np.bincount(cells.ravel(), minlength=len(least))
    along = np.zeros(len(least)), np.zeros(len(least))
    owner, longest = np.arange(len(least)), np.zeros(len(least))
    pairs, lengths = np.unique(contacts(cells)[0], axis=0, return_counts=True)
    for one, other in (pairs.T, pairs.T[::-1]):
        np.add.at(along[0], one, lengths)
        np.add.at(along[1], one, np.where(other > 0, lengths, 0))
    splinter = (sizes < _SPLINTER * least) & (along[1] >= _ALONG * along[0]) & (along[1] > 0)
    for (i, j), length in zip(pairs.tolist(), lengths.tolist(), strict=True):
        for one, other in ((i, j), (j, i)):
            if splinter[one] and other and not splinter[other] and length > longest[one]:
                owner[one], longest[one] = other, length
    return owner


_CONVEX = 0.95
"""Share of its hull that the outline of one cell encloses, at least."""
_LARGEST = 1.2
"""Typical cells' areas that one cell has, at most."""


def join_halves(cells: Labels, *, area: float) -> Labels:
    """i4 (h, w): numbers from 1 without gaps, as in `cells`. area: px of a typical cell."""
    sizes = np.bincount(cells.ravel())
    boxes = ndimage.find_objects(cells)
    owner, joined = np.arange(len(sizes)), np.zeros(len(sizes), bool)
    for i, j in np.unique(contacts(cells)[0], axis=0).tolist():
        free = i and not joined[i] and not joined[j]
        if free and sizes[i] + sizes[j] <= _LARGEST * area and _convexity(cells, i, j, boxes) >= _CONVEX:
            owner[j] = i
            joined[[i, j]] = True
    return np.unique(owner, return_inverse=True)[1].astype(np.int32)[cells]


def _convexity(cells: Labels, i: int, j: int, boxes: list[tuple[slice, slice]]) -> float:
    rows, columns = zip(boxes[i - 1], boxes[j - 1], strict=True)
    window = cells[_span(rows), _span(columns)]
    both = ((window == i) | (window == j)).astype(np.uint8)
    outline = max(cv2.findContours(both, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
    hull = cv2.contourArea(cv2.convexHull(outline))
    return cv2.contourArea(outline) / hull if hull else 0.0


def _span(slices: tuple[slice, ...]) -> slice:
    return slice(min(s.start for s in slices), max(s.stop for s in slices))


_NECK, _NECK_PER_CELL = 0.81, 0.17
"""A join needs a neck of at least the first, plus the second for each typical cell's area. Fitted by logistic
regression to 1,063 pairs of touching basins in 150 smears of `smear10-open` with exact instances: 16 pairs go wrong,
and 41 do without regard to area."""


def part(mask: Mask, *, area: float) -> Labels:
    """i4 (h, w): 0 = outside, else number of a cell, from 1 without gaps. area: px of a typical cell."""
    found = basins(mask, float(np.sqrt(area / np.pi)))
    return join_halves(_joined(found, area)[found.label], area=area)


def _joined(found: Basins, area: float) -> Labels:
    """i4 (n + 1,): number of the cell that each basin belongs to. The widest necks are joined first."""
    size = (np.bincount(found.label.ravel(), minlength=len(found.summit)) / area).tolist()
    summit, owner = found.summit.tolist(), list(range(len(found.summit)))
    necks: list[dict[int, float]] = [{} for _ in owner]
    for (i, j), neck in found.necks.items():
        necks[i][j] = necks[j][i] = neck

    def lack(i: int, j: int) -> float:
        """What the neck of a pair lacks to that of one cell."""
        return _NECK + _NECK_PER_CELL * (size[i] + size[j]) - necks[i][j] / min(summit[i], summit[j])

    queue = [(lack(i, j), i, j) for i, j in found.necks]
    heapq.heapify(queue)
    while queue and queue[0][0] < 0:
        lacking, kept, gone = heapq.heappop(queue)
        if owner[kept] != kept or owner[gone] != gone or lacking != lack(kept, gone):
            continue
        owner[gone] = kept
        summit[kept], size[kept] = max(summit[kept], summit[gone]), size[kept] + size[gone]
        for other, neck in necks[gone].items():
            del necks[other][gone]
            if other != kept:
                necks[kept][other] = necks[other][kept] = max(neck, necks[kept].get(other, 0.0))
        for other in necks[kept]:
            heapq.heappush(queue, (lack(kept, other), kept, other))
    for i, above in enumerate(owner):
        while above != owner[above]:
            above = owner[above]
        owner[i] = above
    return np.unique(owner, return_inverse=True)[1].astype(np.int32)
