"""Opened images, read by rows, so that one larger than the memory is read as one that is not."""

from pathlib import Path
from typing import Protocol

import numpy as np

from segtrain.inference.tiff import LargeTiff, is_large_tiff
from smearsynth.fields.images import read_image
from smearsynth.fields.scale import AUTO, Scale
from smearsynth.images import Pixels

_SEEN = 4096
"""Pixels a side of the middle of a large image, by whose red cells `auto` finds the scale of all of it."""


class Picture(Protocol):
    """An image that was opened."""

    @property
    def name(self) -> str:
        """What messages call it: its path."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""

    def rows(self, top: int, bottom: int) -> Pixels:
        """u1 (bottom - top, width, 3) RGB, 0 <= top < bottom <= height; not to be written to."""


class WholePicture:
    """An image in memory: u1 (h, w, 3) RGB."""

    def __init__(self, pixels: Pixels, name: str = "image") -> None:
        self.pixels, self.name = pixels, name

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def rows(self, top: int, bottom: int) -> Pixels:
        """As `Picture` says."""
        return self.pixels[top:bottom]


def open_picture(path: str | Path) -> Picture:
    """An image file: upright RGB as `smearsynth.images.decode_image` makes it, in memory up to 64 megapixels; a TIFF
    beyond that is read in windows. Raises UserError: missing, no image, damaged, too large for its format."""
    path = Path(path)
    return LargeTiff(path) if is_large_tiff(path) else WholePicture(read_image(path), str(path))


def um_per_px_of(scale: Scale, path: str | Path, picture: Picture) -> float:
    """um/px of a picture; by `auto` that of its red cells, of a large one those in its middle. UserError as `Scale.of`
    says."""
    (height, width), side = picture.shape, _SEEN
    if scale.spec == AUTO and height * width > side * side:
        top, left = max(0, height - side) // 2, max(0, width - side) // 2
        seen = picture.rows(top, min(height, top + side))[:, left : left + side]
    else:
        seen = picture.rows(0, height) if scale.spec == AUTO else np.empty((0, 0, 3), np.uint8)
    return scale.of(Path(path), seen)
