"""Cells and glass by brightness alone, and which regions of such a mask are one whole cell.

Otsu's threshold is what every network has to beat; single cells are what the scale of an image is found by.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.base.images import Pixels
from smearsynth.fields.field_folder import Mask

_MOST_GAIN = 2
"""Where a second threshold finds more than so many times the area of the first, the first had separated nuclei from all
else: 2.3 to 11 on PBC images where it had, 1.1 to 1.5 there and on BBBC041 fields where it had not."""
_LEAST_SEPARABILITY = 0.78
"""Of a second threshold, Otsu's own measure of how well it separates: glass of Gaussian noise, cut in halves, has
2/pi = 0.64, glass under an even slope of light 0.75; red cells and glass of the PBC images had 0.81 and more."""
_ROUND = 1.4
"""Area of a single cell over that of the largest disc in it, at most: two touching cells have 2."""


def otsu_cells(image: Pixels) -> Mask:
    """bool (h, w): pixels darker than Otsu's threshold of the grey image, holes filled. image: uint8 (h, w, 3) RGB.

    N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return fill_holes(grey <= _threshold(grey))


def cells_and_nuclei(image: Pixels) -> Mask:
    """As `otsu_cells`, but the dark nuclei of a few white cells don't draw the threshold below the red cells.

    Otsu's threshold is found once more among the pixels brighter than the first, and stands where it shows cells that
    the first had missed, and neither the rims of those that it had found nor the grain of the glass.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    first = _threshold(grey)
    bright = grey[grey > first]
    if bright.size:
        second = _threshold(bright)
        missed = np.count_nonzero(grey <= second) > _MOST_GAIN * np.count_nonzero(grey <= first)
        if missed and _separability(bright, second) > _LEAST_SEPARABILITY:
            return fill_holes(grey <= second)
    return fill_holes(grey <= first)


def _threshold(grey: Pixels) -> float:
    return cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]


def _separability(values: Pixels, threshold: float) -> float:
    """Share, 0 to 1, of the variance of `values` that is between those up to the threshold and those above."""
    dark = values <= threshold
    share, variance = float(dark.mean()), float(values.var())
    if not variance or share in (0, 1):
        return 0.0
    return share * (1 - share) * float(values[~dark].mean() - values[dark].mean()) ** 2 / variance


def fill_holes(mask: Mask) -> Mask:
    """The mask with everything that it encloses; a 4-connected way to the image's border is an opening."""
    filled = np.pad(mask, 1).astype(np.uint8)
    cv2.floodFill(filled, None, (0, 0), 2)
    return filled[1:-1, 1:-1] != 2


@dataclass(frozen=True)
class Regions:
    """The 4-connected regions of a mask.

    label: int32 (h, w), 0 = glass, else 1 + row of the rest. area: int32 (n,), px. box: int32 (n, 4), left, top, width,
    height in px. single: bool (n,), one whole cell: nearly round, and away from the border.
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
