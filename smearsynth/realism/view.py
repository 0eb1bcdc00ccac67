"""One piece of a smear or of a real field, and what all measures need to know of it."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.base.images import Pixels
from smearsynth.fields.field_folder import Mask
from smearsynth.fields.otsu import Regions, find_regions
from smearsynth.taxonomy import UM_PER_PX

Window = tuple[slice, slice]
"""Rows and columns."""

MARGIN = 3
"""Pixels (0.6 um) on either side of an outline that belong to neither cell nor glass: masks of different origin differ
by about one, and edges are measured apart."""
RED_CELL_UM = (5.0, 10.0)
"""Diameters between which a single cell is taken for a red one."""


def without_gaps(cells: Mask) -> Mask:
    """bool (h, w): gaps of a pixel or two closed, which some annotators leave between touching cells and others not."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_CLOSE, cross).astype(bool)


@dataclass
class View:
    """image: u1 (h, w, 3) RGB at 0.20 um/px. cells: bool (h, w). dark: bool (h, w), what Otsu's threshold takes for
    cells. origin: number of the image it was cut from."""

    image: Pixels
    cells: Mask
    dark: Mask
    origin: int

    def piece(self, box: Window) -> "View":
        """The view of a part of it."""
        return View(self.image[box].copy(), self.cells[box].copy(), self.dark[box].copy(), self.origin)

    @cached_property
    def lab(self) -> npt.NDArray[np.float32]:
        """f4 (h, w, 3): CIE L*a*b* (D65), L* from 0 to 100."""
        return cv2.cvtColor(self.image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)

    @cached_property
    def lightness(self) -> npt.NDArray[np.float32]:
        """f4 (h, w): L*."""
        return np.ascontiguousarray(self.lab[..., 0])

    @cached_property
    def depth(self) -> npt.NDArray[np.float32]:
        """f4 (h, w): px from the outline of the cells, inside > 0, on glass < 0; of a border pixel 0.5."""
        inside, outside = (
            cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            for mask in (self.cells, ~self.cells)
        )
        return np.where(self.cells, inside - 0.5, 0.5 - outside).astype(np.float32)

    @cached_property
    def inner(self) -> Mask:
        """bool (h, w): surely of a cell."""
        return self.depth > MARGIN

    @cached_property
    def glass(self) -> Mask:
        """bool (h, w): surely no cell, nor debris, nor a cell that no mask has."""
        size = 2 * MARGIN + 1
        near = cv2.dilate(self.dark.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        return (self.depth < -MARGIN) & (near == 0)

    @cached_property
    def regions(self) -> Regions:
        return find_regions(self.cells)

    @cached_property
    def diameter(self) -> npt.NDArray[np.float64]:
        """f8 (n,): diameter of the disc with a region's area, um."""
        return 2 * UM_PER_PX * np.sqrt(self.regions.area / np.pi)

    @cached_property
    def red(self) -> Mask:
        """bool (n,): regions that are a single cell of a red cell's size."""
        return self.regions.single & (self.diameter > RED_CELL_UM[0]) & (self.diameter < RED_CELL_UM[1])
