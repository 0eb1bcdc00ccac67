"""The files of one prediction, written while it goes on; none has its name before all of them are whole.

NAME_label.png        class ids, one byte a pixel, 255 where a cell's class is unsure
NAME_colour.png       the same in the classes' colours
NAME_overlay.png      the image with cells outlined, and a legend; of a large image a smaller copy
NAME_probability.npy  by choice: float16 (h, w, classes) at the networks' scale, not the image's

No library writes a PNG whose rows come one by one, so of an image over 64 megapixels, label and colour are one tiled
TIFF, NAME_label.tif: its values are class ids, and its palette shows them in the classes' colours. It is a pyramid, as
viewers of slides want it: below the label hang (SubIFDs) smaller ones of every second pixel of the one before.
"""

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageDraw, ImageFont

from segtrain.data.samples import Classes
from segtrain.inference.field_prediction import NativeLabels
from segtrain.inference.image_reader import ImageReader
from segtrain.inference.tiles import Band, RescaledImage
from smearsynth.base.errors import UserError
from smearsynth.base.files import published
from smearsynth.base.images import MAX_PIXELS, Pixels
from smearsynth.taxonomy import UNSURE, display_name, rgb_of

OVERLAY_SIDE = 4096
"""Pixels of an overlay's longer side, at most."""
_ROWS = 256
"""Rows of the overlay that are made at a time, and pixels a side of a label's tile."""
_SMALLEST = 1024
"""Pixels of the longer side of a pyramid's last level, at most."""
_LINE = 1 / 800
"""Width of an outline over the longer side."""
_TEXT = 1 / 60
"""Height of the legend's letters over the longer side."""
_DARK, _BRIGHT = (32, 32, 32), (240, 240, 240)


def targets(folder: Path, image: ImageReader, *, probability: bool) -> dict[str, Path]:
    """The files of an image, NAME.png, by what they hold."""
    large = image.shape[0] * image.shape[1] > MAX_PIXELS
    kinds = {"label": "tif"} if large else {"label": "png", "colour": "png"}
    kinds |= {"overlay": "png"} | ({"probability": "npy"} if probability else {})
    return {kind: folder / f"{Path(image.name).stem}_{kind}.{suffix}" for kind, suffix in kinds.items()}


def overlay_factor(shape: tuple[int, int]) -> float:
    """Size of the overlay of an image of (h, w) over that of the image."""
    return min(1.0, OVERLAY_SIDE / max(shape))


def write_prediction(
    files: Mapping[str, BinaryIO],
    image: ImageReader,
    bands: Iterable[Band],
    shape: tuple[int, int],
    classes: Classes,
) -> npt.NDArray[np.int64]:
    """Writes the bands of a prediction of `shape` (h, w) as they come. Gives int64 (256,), how many pixels each
    label has at the image's size. files: opened to write, by the keys of `targets`."""
    if "probability" in files:
        bands = _written(bands, files["probability"], shape, classes)
    native = NativeLabels(shape, image.shape)
    return write_labels(files, image, (label for band in bands for label in native.add(band)), classes)


def write_probability(file: BinaryIO, probability: npt.NDArray[np.float32]) -> None:
    """As npy, float16 (h, w, classes). probability: (classes, h, w)."""
    np.save(file, np.ascontiguousarray(np.moveaxis(probability, 0, -1), "<f2"))


def write_labels(
    files: Mapping[str, BinaryIO], image: ImageReader, blocks: Iterable[Pixels], classes: Classes
) -> npt.NDArray[np.int64]:
    """Writes label, colours and overlay, and counts as `write_prediction`. blocks: of full rows of the label at the
    image's size, uint8 (rows, W), from the top down."""
    pixels = np.zeros(256, np.int64)
    small = RescaledImage(image, overlay_factor(image.shape))
    small_label = np.empty(small.shape, np.uint8)
    sides = zip(small.shape, image.shape, strict=True)
    rows, columns = (((np.arange(n) + 0.5) * native / n).astype(np.int64) for n, native in sides)

    def label_rows() -> Iterator[Pixels]:
        nonlocal pixels
        done = 0
        for label in blocks:
            if label.any():
                pixels += np.bincount(label.ravel(), minlength=len(pixels))
            else:
                pixels[0] += label.size
            first, last = np.searchsorted(rows, (done, done + len(label)))
            small_label[first:last] = label[rows[first:last] - done][:, columns]
            done += len(label)
            yield label

    if "colour" in files:
        label = Image.fromarray(np.concatenate(list(label_rows())))
        label.save(files["label"], "PNG", compress_level=3)
        label.putpalette(colour_table(classes).tobytes())
        label.save(files["colour"], "PNG", compress_level=3)
    else:
        _write_tiled(files["label"], label_rows(), image.shape, classes)
    starts = range(0, small.shape[0], _ROWS)
    pieces = [small.rows(top, min(top + _ROWS, small.shape[0])) for top in starts]
    overlay = draw_overlay(np.concatenate(pieces), small_label, classes)
    Image.fromarray(overlay).save(files["overlay"], "PNG", compress_level=3)
    return pixels


def _written(bands: Iterable[Band], file: BinaryIO, shape: tuple[int, int], classes: Classes) -> Iterator[Band]:
    """The same bands, whose probabilities are written on the way."""
    header = {"descr": "<f2", "fortran_order": False, "shape": (*shape, len(classes))}
    np.lib.format.write_array_header_1_0(file, header)
    for band in bands:
        file.write(np.moveaxis(band.probability, 0, -1).astype("<f2").tobytes())
        yield band


def _write_tiled(file: BinaryIO, label_rows: Iterable[Pixels], shape: tuple[int, int], classes: Classes) -> None:
    colours = colour_table(classes).astype(np.uint16) * 257
    height, width = shape
    levels = max(0, (max(shape) - 1) // _SMALLEST).bit_length()
    with tifffile.TiffWriter(file, bigtiff=height * width >= 1 << 31) as tiff:
        for level in range(levels + 1):
            halved = list[tuple[tuple[int, ...], bytes]]()
            tiff.write(
                _tiles(_halving(label_rows, halved), width),
                shape=(height, width),
                dtype=np.uint8,
                subifds=levels or None if level == 0 else None,
                subfiletype=int(level > 0),
                tile=(_ROWS, _ROWS),
                compression="zlib",
                photometric="palette",
                colormap=colours.T,
                metadata=None,
                # More would read ahead of what has been predicted.
                maxworkers=1,
            )
            label_rows = (np.frombuffer(zlib.decompress(data), np.uint8).reshape(size) for size, data in halved)
            height, width = -(-height // 2), -(-width // 2)


def _halving(label_rows: Iterable[Pixels], halved: list[tuple[tuple[int, ...], bytes]]) -> Iterator[Pixels]:
    """The same rows; every second pixel of every second one goes to `halved`, packed."""
    done = 0
    for rows in label_rows:
        half = rows[done % 2 :: 2, ::2]
        halved.append((half.shape, zlib.compress(half.tobytes(), 1)))
        done += len(rows)
        yield rows


def _tiles(label_rows: Iterable[Pixels], width: int) -> Iterator[Pixels]:
    """Squares from left to right and from the top down, cut at the right and at the bottom of the image."""
    waiting = np.empty((0, width), np.uint8)
    for rows in label_rows:
        waiting = np.concatenate([waiting, rows])
        while len(waiting) >= _ROWS:
            yield from (waiting[:_ROWS, left : left + _ROWS] for left in range(0, width, _ROWS))
            waiting = waiting[_ROWS:]
    if len(waiting):
        yield from (waiting[:, left : left + _ROWS] for left in range(0, width, _ROWS))


def colour_table(classes: Classes) -> Pixels:
    """uint8 (256, 3): RGB by label; grey what is of no class."""
    colours = [*classes.colours, *[classes.colour_of(UNSURE)] * (256 - len(classes))]
    return np.array([rgb_of(colour) for colour in colours], np.uint8)


def draw_overlay(image: Pixels, label: Pixels, classes: Classes) -> Pixels:
    """uint8 (h', w, 3): the image with cells outlined in their class's colour, and below it a legend of the classes
    that are there. image: uint8 (h, w, 3). label: uint8 (h, w).

    Nothing is tinted: on a stain's own colour a tint is another class's."""
    line = max(1, round(max(label.shape) * _LINE))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * line + 1, 2 * line + 1))
    outline = (cv2.erode(label, disc) != label) | (cv2.dilate(label, disc) != label)
    drawn = np.where((outline & (label > 0))[..., None], colour_table(classes)[label], image)
    kinds = [classes.name_of(n) for n in np.unique(label) if n]
    entries = [(display_name(kind), classes.colour_of(kind)) for kind in kinds]
    return np.concatenate([drawn, draw_legend(entries, label.shape)]) if entries else drawn


def draw_legend(entries: Sequence[tuple[str, str]], shape: tuple[int, int]) -> Pixels:
    """uint8 (rows, w, 3): a square and a name for each class, to stand below an image of `shape` (h, w). entries:
    names, and colours "#rrggbb"."""
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


@contextmanager
def new_files(paths: list[Path]) -> Iterator[list[BinaryIO]]:
    """Files to write, which get their names if the block ends well, and are gone if it does not."""
    with ExitStack() as stack:
        parts = [stack.enter_context(published(path)) for path in paths]
        with ExitStack() as opened:
            yield [opened.enter_context(part.open("wb")) for part in parts]


def check_new(paths: list[Path], *, overwrite: bool) -> None:
    """UserError where two of them are one, some are there already, or one can't be written where it shall lie."""
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise UserError(f"{twice}: two images would be written there; rename one, or predict them apart", "out")
    for folder in {path.parent for path in paths}:
        check_folder(folder)
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise UserError(
            f"{there[0]} is there already ({len(there)} of {len(paths)} files): overwrite them, or name another folder",
            "overwrite",
            "out",
        )


def check_folder(folder: Path) -> None:
    """UserError where no file can be written into a folder, which may not be there yet."""
    whole = folder.absolute()
    there = next(path for path in (whole, *whole.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file, and a folder is needed there: name another.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there} may not be written to: name another folder.")
