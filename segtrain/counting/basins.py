"""A mask cut into basins of its distance transform, and what parts two of them.

S. Beucher and C. Lantuejoul, Use of watersheds in contour detection, 1979. A cell has at least one basin; ragged ones
have several.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

from segtrain.counting.contacts import Labels, contacts

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
