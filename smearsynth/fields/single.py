"""Which connected regions of a mask are one whole cell."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.fields.images import Mask

_ROUND = 1.4
"""Area of a single cell over that of the largest disc in it, at most: two touching cells have 2."""


@dataclass(frozen=True)
class Regions:
    """The 4-connected regions of a mask.

    label: i4 (h, w), 0 = glass, else 1 + row of the rest. area: i4 (n,), px. box: i4 (n, 4), left, top, width, height
    in px. single: bool (n,), one whole cell: nearly round, and away from the border.
    """

    label: npt.NDArray[np.int32]
    area: npt.NDArray[np.int32]
    box: npt.NDArray[np.int32]
    single: npt.NDArray[np.bool_]


def find_regions(cells: Mask) -> Regions:
    """cells: bool (h, w). A region is nearly round where its area is close to that of the largest disc within, as the
    distance transform finds it."""
    count, label, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=4)
    rows = np.arange(1, count)
    radius = np.zeros(count, np.float32)
    np.maximum.at(radius, label.ravel(), _depth(cells).ravel())
    area = stats[1:, cv2.CC_STAT_AREA]
    edge = np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])
    single = (area < _ROUND * np.pi * np.square(radius[1:])) & ~np.isin(rows, edge)
    return Regions(label, area, stats[1:, : cv2.CC_STAT_AREA], single)


def _depth(cells: Mask) -> npt.NDArray[np.float32]:
    """Distance to the nearest pixel outside, less the half pixel by which that pixel's edge is nearer; px."""
    return cv2.distanceTransform(np.pad(cells, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] - 0.5
