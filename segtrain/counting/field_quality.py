"""Whether a field is one to count in: enough cells, one layer of them, in focus, at the scale that was given.

Measured at the networks' scale of 0.20 um/px: cells cover 0.24 to 0.66 of 30 fields of IML-Malaria and Bio-net, whose
edges have a blur of 0.25 to 0.43 um; made unsharp by a Gaussian of 0.6 um more, of 0.56 to 0.70.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from segtrain.counting.cell_measures import FieldCells
from smearsynth.base.images import Pixels
from smearsynth.fields.scale import RED_CELL_UM
from smearsynth.taxonomy import CLASSES, RED_CELLS

FEW, CROWDED = 0.05, 0.75
"""Share of a field that cells cover: discs that lie at random without overlap reach 0.82 at the very most."""
BLURRED = 0.5
"""um: deviation of the Gaussian that would blur a sharp step as much as the edges of cells are."""
OFF_SCALE = (5.6, 9.2)
"""um: the median red cell is 6 to 8.5 um wide in nearly all blood."""
_LEAST_CELLS, _LEAST_EDGE = 5, 200
"""Red cells, and pixels of edges, without which nothing is said of the scale and of the focus."""
_REACH = 6
"""Pixels on either side of an edge, in which lie glass and the cell's body."""
_LEAST_CONTRAST = 20
"""Grey levels between them."""


def field_warnings(pixels: Pixels, um_per_px: float, found: FieldCells) -> tuple[str, ...]:
    """What speaks against a field, as sentences. pixels: uint8 (h, w, 3), the image at the scale of the map, which is
    `um_per_px`."""
    covered = float((found.map > 0).mean())
    red = {CLASSES[number].key for number in RED_CELLS}
    areas = [cell.area_um2 for cell in found.cells if cell.kind in red and not cell.borders]
    wide = 2 * math.sqrt(float(np.median(areas)) / math.pi) if len(areas) >= _LEAST_CELLS else RED_CELL_UM
    blur = edge_blur(pixels, found.map) * um_per_px
    warnings = []
    if covered < FEW:
        warnings.append(f"few cells: they cover {covered:.0%} of the field")
    if covered > CROWDED:
        warnings.append(f"crowded: cells cover {covered:.0%} of the field, too thick to tell them apart")
    if blur > BLURRED:
        warnings.append(f"blurred: edges of cells spread as by a Gaussian of {blur:.2f} um")
    if not OFF_SCALE[0] <= wide <= OFF_SCALE[1]:
        warnings.append(f"off scale: the median red cell is {wide:.1f} um wide, and blood's {RED_CELL_UM}; check um/px")
    return tuple(warnings)


def edge_blur(pixels: Pixels, cells: npt.NDArray[np.int32]) -> float:
    """Deviation in px of the Gaussian that spreads a step as edges of cells are spread, their median; 0 where there are
    too few. A step so blurred is steepest by its height over the deviation times the root of 2 pi."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    slope = np.hypot(*(cv2.Sobel(grey, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))))
    steepest = cv2.dilate(slope, np.ones((5, 5), np.uint8))
    around = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
    height = cv2.dilate(grey, around) - cv2.erode(grey, around)
    inside = (cells > 0).astype(np.uint8)
    edge = (inside > 0) & (cv2.erode(inside, np.ones((3, 3), np.uint8)) == 0) & (height > _LEAST_CONTRAST)
    edge[[*range(_REACH), *range(-_REACH, 0)]] = False
    edge[:, [*range(_REACH), *range(-_REACH, 0)]] = False
    if edge.sum() < _LEAST_EDGE:
        return 0.0
    return float(1 / (math.sqrt(2 * math.pi) * np.median(steepest[edge] / height[edge])))
