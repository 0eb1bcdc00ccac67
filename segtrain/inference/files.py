"""The files of one prediction, written while it goes on; none has its name before all of them are whole.

NAME_label.png        class ids, one byte a pixel
NAME_colour.png       the same in the classes' colours
NAME_overlay.png      the image with cells outlined, and a legend; of a large image a smaller copy
NAME_probability.npy  by choice: f2 (h, w, classes) at the networks' scale, not the image's
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from segtrain.data.samples import Classes
from segtrain.inference.native import NativeLabels
from segtrain.inference.overlay import colours_of, draw_overlay
from segtrain.inference.picture import Picture
from segtrain.inference.png import PngRows
from segtrain.inference.rescale import Rescaled
from segtrain.inference.tiles import Band

LABEL, COLOUR, OVERLAY, PROBABILITY = "label.png", "colour.png", "overlay.png", "probability.npy"
OVERLAY_SIDE = 4096
"""Pixels of an overlay's longer side, at most."""
_ROWS = 256


def targets(folder: Path, image: Path, *, probability: bool) -> list[Path]:
    """The files of an image, in the order of the kinds above."""
    kinds = (LABEL, COLOUR, OVERLAY, *([PROBABILITY] if probability else []))
    return [folder / f"{image.stem}_{kind}" for kind in kinds]


def overlay_factor(shape: tuple[int, int]) -> float:
    """Size of the overlay of an image of (h, w) over that of the image."""
    return min(1.0, OVERLAY_SIDE / max(shape))


class PredictionFiles:
    """Takes the bands of a prediction and writes what becomes of them. pixels: i8 (classes,), of each class at the
    image's size, so far."""

    def __init__(self, files: list[BinaryIO], picture: Picture, shape: tuple[int, int], classes: Classes) -> None:
        """files: opened to write, in the order of `targets`. shape: (h, w) of the prediction."""
        label, colour, self._overlay, *probability = files
        self._native, self._classes = NativeLabels(shape, picture.shape), classes
        self._indexed = PngRows(label, picture.shape)
        self._coloured = PngRows(colour, picture.shape, colours_of(classes))
        self._probability = probability[0] if probability else None
        if self._probability:
            _npy_header(self._probability, (*shape, len(classes)))
        self._small = Rescaled(picture, overlay_factor(picture.shape))
        height, width = self._small.shape
        self._rows = _places(height, picture.shape[0])
        self._columns = _places(width, picture.shape[1])
        self._small_label = np.empty((height, width), np.uint8)
        self._done = 0
        self.pixels = np.zeros(len(classes), np.int64)

    def add(self, band: Band) -> None:
        """The next rows of the prediction."""
        if self._probability:
            self._probability.write(np.moveaxis(band.probability, 0, -1).astype("<f2").tobytes())
        for label in self._native.add(band):
            self._indexed.add(label)
            self._coloured.add(label)
            self.pixels += np.bincount(label.ravel(), minlength=len(self.pixels))
            first, last = np.searchsorted(self._rows, (self._done, self._done + len(label)))
            self._small_label[first:last] = label[self._rows[first:last] - self._done][:, self._columns]
            self._done += len(label)

    def finish(self) -> None:
        """After the last row."""
        self._indexed.finish()
        self._coloured.finish()
        height = self._small.shape[0]
        small = [self._small.rows(top, min(top + _ROWS, height)) for top in range(0, height, _ROWS)]
        overlay = draw_overlay(np.concatenate(small), self._small_label, self._classes)
        Image.fromarray(overlay).save(self._overlay, "PNG", compress_level=3)


def _places(count: int, native: int) -> npt.NDArray[np.int64]:
    """i8 (count,): the native pixel in the middle of each of so many."""
    return ((np.arange(count) + 0.5) * native / count).astype(np.int64)


def _npy_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
