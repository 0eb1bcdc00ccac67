"""Files that are whole or not there at all, and never written over another by accident.

A PNG file of one byte a pixel, written as its rows come. Image libraries want all of them at once.

Format: PNG specification (third edition), W3C 2025: signature, then chunks of length, kind, data and CRC-32.

A field with what the network sees drawn on it, for a person.

The files of one prediction, written while it goes on; none has its name before all of them are whole.

NAME_label.png        class ids, one byte a pixel
NAME_colour.png       the same in the classes' colours
NAME_overlay.png      the image with cells outlined, and a legend; of a large image a smaller copy
NAME_probability.npy  by choice: f2 (h, w, classes) at the networks' scale, not the image's
"""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
from isal import isal_zlib
from PIL import Image, ImageDraw, ImageFont

from segtrain.data.samples import Classes
from segtrain.inference.field_prediction import NativeLabels
from segtrain.inference.image_reader import Picture
from segtrain.inference.tiles import Band, Rescaled
from smearsynth.base.errors import UserError
from smearsynth.base.files import publish
from smearsynth.base.images import Pixels
from smearsynth.taxonomy import display_name


@contextmanager
def new_files(paths: list[Path]) -> Iterator[list[BinaryIO]]:
    """Files to write, which get their names if the block ends well, and are gone if it does not."""
    parts = [path.with_name(f".{path.name}.part") for path in paths]
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(part.open("wb")) for part in parts]
        for part, path in zip(parts, paths, strict=True):
            publish(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def check_new(paths: list[Path], *, overwrite: bool) -> None:
    """UserError where two of them are one, some are there already, or one can't be written where it shall lie."""
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise UserError(f"{twice}: two images would be written there; rename one, or give each an --out of its own.")
    for folder in {path.parent for path in paths}:
        check_folder(folder)
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise UserError(
            f"{there[0]} is there already ({len(there)} of {len(paths)} files): --overwrite replaces them, "
            "or name another --out."
        )


def check_folder(folder: Path) -> None:
    """UserError where no file can be written into a folder, which may not be there yet."""
    whole = folder.absolute()
    there = next(path for path in (whole, *whole.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file, and a folder is needed there: name another.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there} may not be written to: name another folder.")


_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_LEVEL = 2


class PngRows:
    """Writes rows of values, u1, as grey or as places in a palette."""

    def __init__(self, file: BinaryIO, shape: tuple[int, int], palette: Pixels | None = None) -> None:
        """file: opened to write. shape: height and width, px. palette: u1 (n, 3) RGB, n up to 256."""
        self._file, self._width = file, shape[1]
        self._packer = isal_zlib.compressobj(level=_LEVEL)
        file.write(_SIGNATURE)
        kind = _GREY if palette is None else _PALETTE
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", shape[1], shape[0], 8, kind, 0, 0, 0))
        if palette is not None:
            self._chunk(b"PLTE", palette.tobytes())

    def add(self, rows: Pixels) -> None:
        """The next rows: u1 (n, width)."""
        unfiltered = np.pad(rows, ((0, 0), (1, 0)))
        self._chunk(b"IDAT", self._packer.compress(unfiltered.tobytes()))

    def finish(self) -> None:
        """After the last row."""
        self._chunk(b"IDAT", self._packer.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, kind: bytes, data: bytes) -> None:
        if data or kind == b"IEND":
            self._file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


_LINE = 1 / 800
"""Width of an outline over the longer side."""
_TEXT = 1 / 60
"""Height of the legend's letters over the longer side."""
_DARK, _BRIGHT = (32, 32, 32), (240, 240, 240)


def colours_of(classes: Classes) -> Pixels:
    """u1 (classes, 3) RGB."""
    return np.array([tuple(bytes.fromhex(colour[1:])) for colour in classes.colours], np.uint8)


def draw_overlay(image: Pixels, label: Pixels, classes: Classes) -> Pixels:
    """u1 (h', w, 3): `image`, u1 (h, w, 3), with cells outlined in their class's colour, and below it a legend of the
    classes that are there. label: u1 (h, w). Nothing is tinted: on a stain's own colour a tint is another class's."""
    line = max(1, round(max(label.shape) * _LINE))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * line + 1, 2 * line + 1))
    outline = (cv2.erode(label, disc) != label) | (cv2.dilate(label, disc) != label)
    drawn = np.where((outline & (label > 0))[..., None], colours_of(classes)[label], image)
    entries = [(display_name(classes.keys[n]), classes.colours[n]) for n in np.unique(label) if n]
    return np.concatenate([drawn, draw_legend(entries, label.shape)]) if entries else drawn


def draw_legend(entries: Sequence[tuple[str, str]], shape: tuple[int, int]) -> Pixels:
    """u1 (rows, w, 3): a square and a name for each class, to stand below an image of `shape` (h, w). entries: names,
    and colours "#rrggbb"."""
    size = max(11, round(max(shape) * _TEXT))
    font = ImageFont.load_default(size)
    places, x, row = [], size, 0
    for name, _ in entries:
        width = 3 * size + int(font.getlength(name))
        if x + width > shape[1] and x > size:
            x, row = size, row + 1
        places.append((x, row))
        x += width
    strip = Image.new("RGB", (shape[1], 2 * size * (row + 1)), _DARK)
    pen = ImageDraw.Draw(strip)
    for (name, colour), (x, row) in zip(entries, places, strict=True):
        y = 2 * size * row + size // 2
        pen.rectangle((x, y, x + size, y + size), fill=colour)
        pen.text((x + 1.5 * size, y + size / 2), name, fill=_BRIGHT, font=font, anchor="lm")
    return np.asarray(strip)


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
