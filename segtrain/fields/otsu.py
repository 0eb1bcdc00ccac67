"""Cells told from glass by brightness alone: what every network has to beat."""

import cv2
import numpy as np
from scipy import ndimage

from segtrain.fields.images import Mask, Pixels


def otsu_cells(image: Pixels) -> Mask:
    """bool (h, w): pixels darker than Otsu's threshold of the grey image, holes filled. image: u1 (h, w, 3) RGB.

    N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9 (1979).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    _, dark = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    return np.asarray(ndimage.binary_fill_holes(dark))
