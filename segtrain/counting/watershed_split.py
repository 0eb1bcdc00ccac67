"""Touching cells, split by a watershed of the distance transform whose basins are joined again where they are one cell.

A ragged cell has several basins (S. Beucher and C. Lantuejoul, Use of watersheds in contour detection, 1979). Two of
them are one cell where the neck between them is nearly as wide as the narrower one, and the more so the larger both are
together: half a cell's area may have a slight waist, more than a whole one must have none. A fold or a pale slit may
still cut a cell in two, so halves are joined that are together of one cell's size and nearly convex. Fragments that are
left between cells go to the cell that they border on most.
"""

import heapq
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

from smearsynth.fields.field_folder import distance_to

Labels = npt.NDArray[np.int32]
"""int32 (H, W): the number of a region at each pixel, 0 = background."""
Mask = npt.NDArray[np.bool_]

_SMOOTHING = 0.06
"""Sigma of the Gaussian over the distance transform, in radii of a cell: steps of a pixelled outline vanish."""
_MIN_DISTANCE = 0.3
"""Maxima nearer than that, in radii of a cell, are one."""
_NECK, _NECK_PER_CELL = 0.81, 0.17
"""A join needs a neck of at least the first, plus the second for each typical cell's area. Fitted by logistic
regression to 1,063 pairs of touching basins in 150 smears of `smear10-open` with exact instances: 16 pairs go wrong,
and 41 do without regard to area."""
_MIN_CONVEXITY = 0.95
"""Share of its convex hull that the outline of one cell encloses, at least."""
_MAX_AREA = 1.2
"""Area of two halves that are one cell, at most, in areas of a typical cell."""
_FRAGMENT = 0.2
"""Area under which a cell may be a fragment, as a share of the smallest class of its group."""
_BORDERING = 0.5
"""Share of a fragment's outline that borders on other cells, at least."""
_NEIGHBOURS = ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1]))


def split_touching(mask: Mask, *, area: float) -> Labels:
    """int32 (H, W): 0 = background, else number of a cell, from 1 without gaps. mask: bool (H, W). area: px of a
    typical cell."""
    basins = _watershed(mask, radius=float(np.sqrt(area / np.pi)))
    return _join_halves(_join_basins(basins, area)[basins.label], area=area)


@dataclass(frozen=True)
class _Basins:
    """label: int32 (H, W), 0 = background, else 1 to n. maximum: float32 (n + 1,), px, the largest distance to the
    background in each. necks: of each pair (i, j), i < j, that touches, the largest such distance on their border."""

    label: Labels
    maximum: npt.NDArray[np.float32]
    necks: dict[tuple[int, int], float]


def _watershed(mask: Mask, *, radius: float) -> _Basins:
    """mask: bool (H, W). radius: px of a typical cell. Cells go on beyond the border of the image."""
    depth = np.minimum(distance_to(~mask), max(mask.shape))
    depth = cv2.GaussianBlur(depth, (0, 0), max(_SMOOTHING * radius, 0.5))
    side = 2 * int(_MIN_DISTANCE * radius) + 1
    around = cv2.dilate(depth, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    markers, count = ndimage.label(mask & (depth == around), np.ones((3, 3)))
    label = watershed(-depth, markers, mask=mask).astype(np.int32)
    maximum = np.zeros(count + 1, np.float32)
    np.maximum.at(maximum, label.ravel(), depth.ravel())
    return _Basins(label, maximum, _necks(label, depth))


def _necks(label: Labels, depth: npt.NDArray[np.float32]) -> dict[tuple[int, int], float]:
    pairs, places = adjacent_pixels(label)
    inside = pairs[:, 0] > 0
    height = depth.ravel()[places[inside]].min(axis=1)
    touching, which = np.unique(pairs[inside], axis=0, return_inverse=True)
    widest = np.zeros(len(touching), np.float32)
    np.maximum.at(widest, which.ravel(), height)
    return {(int(i), int(j)): float(neck) for (i, j), neck in zip(touching, widest, strict=True)}


def _join_basins(basins: _Basins, area: float) -> Labels:
    """int32 (n + 1,): the cell that each basin belongs to. The widest necks are joined first."""
    size = (np.bincount(basins.label.ravel(), minlength=len(basins.maximum)) / area).tolist()
    maximum, owner = basins.maximum.tolist(), list(range(len(basins.maximum)))
    necks: list[dict[int, float]] = [{} for _ in owner]
    for (i, j), neck in basins.necks.items():
        necks[i][j] = necks[j][i] = neck

    def missing(i: int, j: int) -> float:
        """How much wider the neck of a pair would have to be in one cell, relative to the narrower basin."""
        return _NECK + _NECK_PER_CELL * (size[i] + size[j]) - necks[i][j] / min(maximum[i], maximum[j])

    queue = [(missing(i, j), i, j) for i, j in basins.necks]
    heapq.heapify(queue)
    while queue and queue[0][0] < 0:
        width, kept, gone = heapq.heappop(queue)
        if owner[kept] != kept or owner[gone] != gone or width != missing(kept, gone):
            continue
        owner[gone] = kept
        maximum[kept], size[kept] = max(maximum[kept], maximum[gone]), size[kept] + size[gone]
        for other, neck in necks[gone].items():
            del necks[other][gone]
            if other != kept:
                necks[kept][other] = necks[other][kept] = max(neck, necks[kept].get(other, 0.0))
        for other in necks[kept]:
            heapq.heappush(queue, (missing(kept, other), kept, other))
    for i, above in enumerate(owner):
        while above != owner[above]:
            above = owner[above]
        owner[i] = above
    return np.unique(owner, return_inverse=True)[1].astype(np.int32)


def _join_halves(cells: Labels, *, area: float) -> Labels:
    """int32 (H, W): `cells` with halves of one cell joined, numbered without gaps. area: px of a typical cell."""
    sizes = np.bincount(cells.ravel())
    boxes = ndimage.find_objects(cells)
    owner, joined = np.arange(len(sizes)), np.zeros(len(sizes), bool)
    for i, j in np.unique(adjacent_pixels(cells)[0], axis=0).tolist():
        free = i and not joined[i] and not joined[j]
        if free and sizes[i] + sizes[j] <= _MAX_AREA * area and _convexity(cells, i, j, boxes) >= _MIN_CONVEXITY:
            owner[j] = i
            joined[[i, j]] = True
    return np.unique(owner, return_inverse=True)[1].astype(np.int32)[cells]


def _convexity(cells: Labels, i: int, j: int, boxes: list[tuple[slice, slice]]) -> float:
    union = tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(boxes[i - 1], boxes[j - 1], strict=True)
    )
    window = cells[union]
    both = ((window == i) | (window == j)).astype(np.uint8)
    outline = max(cv2.findContours(both, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
    hull = cv2.contourArea(cv2.convexHull(outline))
    return cv2.contourArea(outline) / hull if hull else 0.0


def fragment_owners(cells: Labels, min_areas: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """int64 (n + 1,): the cell that each one belongs to: of most, itself.

    cells: int32 (H, W), 0 = background, else 1 to n. min_areas: float64 (n + 1,), px of the smallest class of each
    cell's group.
    """
    sizes = np.bincount(cells.ravel(), minlength=len(min_areas))
    outline, bordering, longest = np.zeros((3, len(min_areas)))
    owner = np.arange(len(min_areas))
    pairs, lengths = np.unique(adjacent_pixels(cells)[0], axis=0, return_counts=True)
    for one, other in (pairs.T, pairs.T[::-1]):
        np.add.at(outline, one, lengths)
        np.add.at(bordering, one, np.where(other > 0, lengths, 0))
    fragment = (sizes < _FRAGMENT * min_areas) & (bordering >= _BORDERING * outline) & (bordering > 0)
    for (i, j), length in zip(pairs.tolist(), lengths.tolist(), strict=True):
        for one, other in ((i, j), (j, i)):
            if fragment[one] and other and not fragment[other] and length > longest[one]:
                owner[one], longest[one] = other, length
    return owner


def adjacent_pixels(label: Labels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All pairs of 4-neighbours that are of different regions: int64 (n, 2), the regions' numbers, the smaller first;
    and int64 (n, 2), the flat indices of the two pixels."""
    place = np.arange(label.size).reshape(label.shape)
    meet = [(label[one] != label[other], one, other) for one, other in _NEIGHBOURS]
    places = np.concatenate([np.stack([place[one][m], place[other][m]], axis=1) for m, one, other in meet])
    numbers = label.ravel()[places].astype(np.int64)
    return np.sort(numbers, axis=1), places
