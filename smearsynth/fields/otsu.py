"""Cells told from glass by brightness alone: what every network has to beat."""

import cv2
import numpy as np
from scipy import ndimage

from smearsynth.fields.images import Mask
from smearsynth.images import Pixels

_MOST_GAIN = 2
"""Where a second threshold finds more than so many times the area of the first, the first had parted nuclei from all
else: 2.3 to 11 on PBC images where it had, 1.1 to 1.5 there and on BBBC041 fields where it had not."""

_LEAST_SEPARABILITY = 0.78
"""Of a second threshold, Otsu's own measure of how well it parts: glass of Gaussian noise, cut in halves, has 2/pi =
0.64, glass under an even slope of light 0.75; red cells and glass of the PBC images had 0.81 and more."""


def otsu_cells(image: Pixels) -> Mask:
    """bool (h, w): pixels darker than Otsu's threshold of the grey image, holes filled. image: u1 (h, w, 3) RGB.

    N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return _filled(grey <= _threshold(grey))


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
            return _filled(grey <= second)
    return _filled(grey <= first)


def _threshold(grey: Pixels) -> float:
    return cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]


def _separability(values: Pixels, threshold: float) -> float:
    """Share, 0 to 1, of the variance of `values` that is between those up to the threshold and those above."""
    dark = values <= threshold
    share, variance = float(dark.mean()), float(values.var())
    if not variance or share in (0, 1):
        return 0.0
    return share * (1 - share) * float(values[~dark].mean() - values[dark].mean()) ** 2 / variance


def _filled(dark: Mask) -> Mask:
    return np.asarray(ndimage.binary_fill_holes(dark))
