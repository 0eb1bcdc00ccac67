"""What is measured of a view: colour, population, power spectrum, texture, and how sharply cells end."""

from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
from skimage.feature import graycomatrix, graycoprops

from smearsynth.fields.field_folder import Mask
from smearsynth.realism.distances import Floats, Quantity, Weighted, plain
from smearsynth.realism.edge_profiles import measure_edges
from smearsynth.realism.views import LEAST_SIDE, View
from smearsynth.taxonomy import UM_PER_PX

DIRECTIONS = 16
CELLS, GLASS = (Quantity(key=f"colour_{where}", low=-160, high=230, slices=DIRECTIONS) for where in ("cells", "glass"))
CELLS_LAB, GLASS_LAB = (Quantity(key=f"lab_{where}", low=-110, high=110, slices=3) for where in ("cells", "glass"))
RED_CELLS = Quantity(key="red_cell_to_red_cell", low=0, high=60)
UNEVEN = Quantity(key="glass_unevenness", low=0, high=40)

_MOST_PIXELS = 4096
"""Pixels of either kind that are taken from one view, evenly spread."""
_LEAST_RED_CELLS = 3
_BLOCK = 16
"""Side, px, of the blocks whose glass is compared; each needs glass on a quarter of it."""


def directions() -> Floats:
    """float64 (16, 3): unit vectors spread evenly over half of all directions (a Fibonacci lattice)."""
    step = np.arange(DIRECTIONS)
    height = (step + 0.5) / DIRECTIONS
    turn = np.pi * (3 - np.sqrt(5)) * step
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)


_DIRECTIONS = directions()


def measure_colour(view: View) -> dict[Quantity, Weighted]:
    """Lab values (of L*, a*, b*) and their projections on 16 directions, for the sliced earth mover's distance
    (Rabin et al. 2011); red cells' mean colours around the mean of their field; the glass's evenness over a field."""
    measured: dict[Quantity, Weighted] = {}
    for quantity, axes, mask in ((CELLS, CELLS_LAB, view.inner), (GLASS, GLASS_LAB, view.glass)):
        lab = _some(view.lab[mask])
        if len(lab):
            weights = np.full(len(lab), mask.sum() / len(lab))
            measured |= {quantity: Weighted(_DIRECTIONS @ lab.T, weights), axes: Weighted(lab.T, weights)}
    return measured | _red_cells(view) | _unevenness(view)


def _some(values: Floats) -> Floats:
    return values[:: max(1, -(-len(values) // _MOST_PIXELS))]


def _red_cells(view: View) -> dict[Quantity, Weighted]:
    rows = np.flatnonzero(view.red)
    if rows.size < _LEAST_RED_CELLS:
        return {}
    label = view.regions.label[view.inner]
    count = len(view.red) + 1
    pixels = np.bincount(label, minlength=count)[1 + rows]
    lab = [np.bincount(label, c, minlength=count)[1 + rows] / np.maximum(pixels, 1) for c in view.lab[view.inner].T]
    colours = np.stack(lab, axis=1)[pixels > 0]
    return {RED_CELLS: plain(np.atleast_1d(np.sqrt(np.square(colours - colours.mean(axis=0)).sum(axis=1).mean())))}


def _unevenness(view: View) -> dict[Quantity, Weighted]:
    share, light = _blocks(view.glass.astype(np.float32)), _blocks(np.where(view.glass, view.lightness, 0))
    enough: Mask = share > 0.25
    if enough.sum() < _LEAST_RED_CELLS:
        return {}
    return {UNEVEN: plain(np.atleast_1d(np.std(light[enough] / share[enough])))}


def _blocks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Means of the whole blocks of 16x16 px."""
    h, w = (side // _BLOCK for side in values.shape)
    return cv2.resize(values[: h * _BLOCK, : w * _BLOCK], (w, h), interpolation=cv2.INTER_AREA)


DIAMETER = Quantity(key="cell_diameter", low=0, high=30)
COVERED = Quantity(key="covered", low=0, high=100)
DENSITY = Quantity(key="cell_density", low=0, high=50)
CLUSTERED = Quantity(key="clustered", low=0, high=100)

_LEAST_REGIONS = 3
_LEAST_UM = 1.0
"""Diameter under which a region is dust."""


def measure_population(view: View) -> dict[Quantity, Weighted]:
    """Diameters of single cells in um; of each view the share of the field under cells, single cells per 1000 um2, and
    the share of the area of whole regions that clusters hold.

    A region counts by one over the chance that it lies wholly inside the view, so views of different size agree
    (Miles and Lantuejoul).
    """
    regions = view.regions
    h, w = view.cells.shape
    left, top, width, height = regions.box.T
    inside = (left > 0) & (top > 0) & (left + width < w) & (top + height < h) & (view.diameter >= _LEAST_UM)
    weight = w * h / np.maximum((w - width) * (h - height), 1)
    single = regions.single & inside
    um2 = view.cells.size * UM_PER_PX**2
    measured = {
        COVERED: plain(np.array([100 * view.cells.mean()])),
        DENSITY: plain(np.array([1000 * weight[single].sum() / um2])),
    }
    if single.any():
        measured[DIAMETER] = Weighted(view.diameter[None, single], weight[single])
    if inside.sum() >= _LEAST_REGIONS:
        area = weight * regions.area
        measured[CLUSTERED] = plain(np.array([100 * (1 - area[single].sum() / area[inside].sum())]))
    return measured


WINDOW = LEAST_SIDE
"""Side of a window, px."""
FREQUENCIES = np.arange(1, WINDOW // 2)
"""Cycles per window that are measured."""
SPECTRUM = Quantity(key="power_spectrum", low=-60, high=60, slices=len(FREQUENCIES))

_HANN = np.outer(np.hanning(WINDOW + 1)[:-1], np.hanning(WINDOW + 1)[:-1])
_RADIUS = np.rint(np.hypot(np.fft.fftfreq(WINDOW)[:, None], np.fft.rfftfreq(WINDOW)) * WINDOW).astype(int)
_SILENCE = 1e-6
"""Power, L* squared, under which an image is taken for empty: that of quantisation to 8 bits is 0.01."""


def measure_spectrum(view: View) -> dict[Quantity, Weighted]:
    """Power of lightness, averaged over all directions: how much there is of each fineness of detail.

    In dB over one L* squared per px, by Welch's method: windows that overlap by half, weighted by Hann's.
    """
    shape = (WINDOW, WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(view.lightness, shape)[:: WINDOW // 2, :: WINDOW // 2]
    windows = windows.reshape(-1, *shape)
    power = np.zeros_like(_RADIUS, np.float64)
    for window in windows:
        power += np.square(np.abs(np.fft.rfft2((window - window.mean()) * _HANN)))
    power /= len(windows) * np.square(_HANN).sum()
    rings = np.bincount(_RADIUS.ravel(), power.ravel()) / np.bincount(_RADIUS.ravel())
    decibels = 10 * np.log10(np.maximum(rings[FREQUENCIES], _SILENCE))
    return {SPECTRUM: Weighted(cast(Floats, decibels)[:, None], np.ones(1))}


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


_MEASURES = (measure_colour, measure_spectrum, measure_texture, measure_population, measure_edges)


def measure(view: View) -> dict[Quantity, Weighted]:
    """Everything of one view."""
    measured: dict[Quantity, Weighted] = {}
    for part in _MEASURES:
        measured |= part(view)
    return measured
