"""Label maps of drawn cells at 0.20 um/px, of which the truth is known."""

import cv2
import numpy as np
import numpy.typing as npt

from segtrain.counting.cell_measures import FieldCells, measure_cells
from smearsynth.taxonomy import BY_KEY, CLASSES

KEYS = tuple(c.key for c in CLASSES)
RADIUS = 18.2
"""px of a red cell of the taxonomy's area."""
Labels = npt.NDArray[np.uint8]


def glass(height: int = 224, width: int = 224) -> Labels:
    return np.zeros((height, width), np.uint8)


def disc(label: Labels, key: str, x: float, y: float, radius: float = RADIUS, squeeze: float = 1.0) -> Labels:
    """Draws an ellipse of the area of a disc of `radius`, whose axes differ by the factor `squeeze`."""
    axes = (radius * squeeze**0.5, radius / squeeze**0.5)
    yy, xx = np.mgrid[: label.shape[0], : label.shape[1]]
    label[((xx - x) / axes[0]) ** 2 + ((yy - y) / axes[1]) ** 2 < 1] = BY_KEY[key].id
    return label


def counted(label: Labels, *, um_per_px: float = 0.2, confidence: int = 255) -> FieldCells:
    return measure_cells(label, np.full_like(label, confidence), keys=KEYS, um_per_px=um_per_px)


def kinds(label: Labels, **options: float) -> list[str]:
    return sorted(cell.kind for cell in counted(label, **options).cells)


def enlarged(label: Labels, factor: int) -> Labels:
    return cv2.resize(label, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
