"""Texture: local contrast, and co-occurrence of grey levels within cells."""

import cv2
import numpy as np
from skimage.feature import graycomatrix, graycoprops

from smearsynth.fidelity.tally import Quantity, Weighted, plain
from smearsynth.fidelity.view import View

CONTRAST_CELLS, CONTRAST_GLASS = (Quantity(key=f"contrast_{where}", low=0, high=30) for where in ("cells", "glass"))
GLCM = {
    name: Quantity(key=f"glcm_{name}", low=low, high=high)
    for name, low, high in (("contrast", 0, 200), ("homogeneity", 0, 1), ("correlation", -1, 1), ("energy", 0, 1))
}

_WINDOW = 5
"""Side, px, of the window of local contrast: it lies inside a cell or on glass as a whole."""
_LEVELS = 64
_DISTANCE = 2
_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_LEAST_PAIRS = 1000


def measure_texture(view: View) -> dict[Quantity, Weighted]:
    """Standard deviation of L* in windows of 1 um, and of each view the features of Haralick et al. (1973) on 64 levels
    of L* between the pixels of cells that are 2 px (0.4 um) apart."""
    contrast = _local_deviation(view)
    measured = {
        quantity: plain(contrast[mask])
        for quantity, mask in ((CONTRAST_CELLS, view.inner), (CONTRAST_GLASS, view.glass))
        if mask.any()
    }
    # Level 0 is what is no cell; its row and column are cut off.
    levels = np.where(view.inner, 1 + np.clip(view.lightness * (_LEVELS / 100), 0, _LEVELS - 1), 0).astype(np.uint8)
    pairs = graycomatrix(levels, [_DISTANCE], _ANGLES, levels=_LEVELS + 1, symmetric=True)[1:, 1:]
    together = pairs.sum(axis=3, keepdims=True)
    if together.sum() < _LEAST_PAIRS:
        return measured
    return measured | {q: plain(graycoprops(together, name)[0]) for name, q in GLCM.items()}


def _local_deviation(view: View) -> np.ndarray:
    # From the mean of the view: squares of small numbers lose less to rounding.
    light = view.lightness - view.lightness.mean()
    size = (_WINDOW, _WINDOW)
    mean = cv2.blur(light, size)
    return np.sqrt(np.maximum(cv2.blur(light * light, size) - mean * mean, 0))
