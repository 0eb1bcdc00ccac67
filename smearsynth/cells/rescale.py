"""A cell at 40x: its own colour extended past its edge, and all softness of the edge in the mask.

A microscope blends cell and glass over two or three pixels. Pasting such pixels on other glass leaves a bright or
dark seam, so the blended rim is replaced by the colour just inside it, and the blend is made anew at placement.
"""

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.cells.edges import Mask, grow
from smearsynth.taxonomy import UM_PER_PX

MARGIN = 2
"""Rows and columns of mask 0 around every cell, so that bilinear warping never reads outside."""
_BLEND_UM = 0.25
"""Width of the rim that is blended with glass, micrometres inside the half-way contour: the optical resolution of a
100x 1.25 NA objective (Abbe limit 0.22 um)."""


def to_40x(image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], um_per_px: float) -> npt.NDArray[np.uint8]:
    """u1 (h, w, 4), RGB and soft mask at 0.20 um/px with a margin of mask 0, cropped to the cell.

    image: u1 (h, w, 3); mask: u1 (h, w), 128 half-way; um_per_px: the image's scale. Area filter down, cubic up.
    """
    factor = um_per_px / UM_PER_PX
    colour = unmixed(image, mask >= 128, depth=_BLEND_UM / um_per_px)
    h, w = mask.shape
    size = (max(1, round(w * factor)), max(1, round(h * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = cv2.resize(np.dstack([colour, mask]), size, interpolation=how)
    return _cropped(small)


def unmixed(image: npt.NDArray[np.uint8], cell: Mask, depth: float) -> npt.NDArray[np.uint8]:
    """The image with every pixel outside the cell, or less than `depth` px inside its edge, coloured like the nearest
    pixel further in; the replaced part is smoothed lightly so that it shows no streaks."""
    inside = cv2.distanceTransform(np.pad(cell, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    core = inside > min(depth, 0.5 * float(inside.max()))
    if not core.any():
        return image
    rows, columns = ndimage.distance_transform_edt(~core, return_distances=False, return_indices=True)
    extended = image[rows, columns]
    smooth = cv2.GaussianBlur(extended, (0, 0), max(1.0, depth))
    return np.where(grow(core, -1)[..., None], image, np.where(core[..., None], extended, smooth))


def _cropped(rgba: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cropped to mask > 0, then framed by the margin; the frame repeats the colour next to it."""
    x, y, w, h = cv2.boundingRect((rgba[..., 3] > 0).astype(np.uint8))
    framed = np.pad(rgba[y : y + h, x : x + w], ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), "edge")
    framed[:MARGIN, :, 3] = framed[-MARGIN:, :, 3] = 0
    framed[:, :MARGIN, 3] = framed[:, -MARGIN:, 3] = 0
    return framed
