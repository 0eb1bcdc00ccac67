"""What reading a mask gives, whatever its form.

Soft edges in colour masks: what is a blend of two classes is no third one.

A soft edge passes through every colour between those of its two sides, and on the way it may meet the colour of a class
that is not there at all: half-way from black to cyan (eosinophil) lies teal (basophil), from red to green olive.
"""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.base.images import MaskPixels, Pixels
from smearsynth.taxonomy import IGNORE

_OPAQUE = 0.95
_CLEAR = 0.05
"""Shares of opacity from which a pixel counts as painted, and up to which as not."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """label: u1 (h, w), class ids and 255. near: pixels that took a class by a colour near to its own. faults: why the
    mask can't be used, each the rest of a sentence. interpolated: its edges pass through other classes."""

    label: Pixels
    near: int = 0
    faults: tuple[str, ...] = ()
    interpolated: bool = False


class Reader(Protocol):
    """Masks of one form to labels."""

    def read(self, mask: MaskPixels) -> Reading: ...


def with_transparency(label: Pixels, alpha: Pixels | None) -> Pixels:
    """u1 (h, w): background (0) where nothing was painted, 255 where half was. alpha: u1 (h, w), None: all opaque."""
    if alpha is None:
        return label
    half = np.where(alpha < 255 * _CLEAR, 0, IGNORE).astype(np.uint8)
    return np.where(alpha > 255 * _OPAQUE, label, half)


Where = npt.NDArray[np.bool_]

_SOFTEST = 4
"""Steps from either side into the middle of the widest edge, the ringing of JPEG beside it included."""
_RARE = 0.01


def between_classes(label: Pixels, known: Where) -> Where:
    """bool (h, w): the 5x5 pixels around hold two classes. label: u1 (h, w). known: where it is to be trusted."""
    lowest = cv2.erode(np.where(known, label, 255).astype(np.uint8), _square(2))
    highest = cv2.dilate(np.where(known, label, 0).astype(np.uint8), _square(2))
    between: Where = lowest < highest
    return between


def far_from(known: Where) -> Where:
    """bool (h, w): none of the 9x9 pixels around is known."""
    far: Where = cv2.dilate(known.astype(np.uint8), _square(_SOFTEST)) == 0
    return far


def flat(colour: Pixels) -> Where:
    """bool (h, w): all 3x3 pixels around have one colour. colour: u1 (h, w, 3)."""
    same: Where = (cv2.dilate(colour, _square(1)) == cv2.erode(colour, _square(1))).all(axis=2)
    return same


def softness(unknown: Where) -> int:
    """Steps from the side of an edge into its middle, 1 to 4: of all but a hundredth of the unknown pixels."""
    left, steps = unknown.astype(np.uint8), 1
    most = _RARE * np.count_nonzero(left)
    while steps < _SOFTEST and np.count_nonzero(left := cv2.erode(left, _square(1))) > most:
        steps += 1
    return steps


def thin_between(label: Pixels, known: Where, steps: int) -> Where:
    """bool (h, w): pixels of a class that is nowhere around them thicker than an edge of that softness, with two other
    classes near: as a blend of these would be."""
    thin, classes_near = np.zeros_like(known), np.zeros(label.shape, np.uint8)
    for number in np.unique(label[known]).tolist():
        here = (known & (label == number)).astype(np.uint8)
        core = cv2.erode(here, _square(steps), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        thick = cv2.dilate(core, _square(steps))
        thin |= here > thick
        classes_near += cv2.dilate(here, _square(2 * steps + 1))
    # One side of an edge may lie outside the image.
    classes_near += _frame(label.shape, steps)
    return thin & (classes_near > 2)


def _frame(shape: tuple[int, ...], width: int) -> Pixels:
    """u1 (h, w): 1 in a frame of that width along the border, else 0."""
    frame = np.ones(shape, np.uint8)
    frame[width:-width, width:-width] = 0
    return frame


def _square(reach: int) -> Pixels:
    """All pixels within so many steps."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
