"""An image and its label to another size, pixel upon pixel.

Images go by area filter down and cubic up, as everywhere in this project. Labels take the nearest pixel, on the same
grid, pixel centres upon pixel centres, so that no class appears that was not there and no edge moves: the usual nearest
neighbour of OpenCV counts from pixel corners, and is off by up to half a pixel.
"""

import math
from dataclasses import dataclass

import cv2

from segtrain.importing.patches import Size
from smearsynth.images import Pixels


@dataclass(frozen=True, kw_only=True)
class Target:
    """What images are brought to: a scale, um/px, or a size, or neither."""

    um_per_px: float | None = None
    size: Size | None = None

    def size_of(self, size: Size, um_per_px: float) -> Size:
        """What an image of that size and scale becomes."""
        if self.size is not None:
            return self.size
        if self.um_per_px is None:
            return size
        height, width = (max(1, round(side * um_per_px / self.um_per_px)) for side in size)
        return height, width

    def um_per_px_of(self, size: Size, um_per_px: float) -> float:
        """Its scale then; the geometric mean of both directions, where a size stretches it."""
        if self.um_per_px is not None:
            return self.um_per_px
        height, width = self.size_of(size, um_per_px)
        return um_per_px * math.sqrt(size[0] * size[1] / (height * width))


def resample(image: Pixels, label: Pixels, size: Size) -> tuple[Pixels, Pixels]:
    """image: u1 (h, w, 3). label: u1 (h, w)."""
    if label.shape == size:
        return image, label
    shape = size[::-1]
    shrinks = size[0] <= label.shape[0] and size[1] <= label.shape[1]
    image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return image, cv2.resize(label, shape, interpolation=cv2.INTER_NEAREST_EXACT)
