"""A field with what the network sees drawn on it, for a person."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segtrain.data.samples import Classes
from smearsynth.images import Pixels
from smearsynth.taxonomy import display_name

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
