"""Soft edges in colour masks: what is a blend of two classes is no third one.

A soft edge passes through every colour between those of its two sides, and on the way it may meet the colour of a class
that is not there at all: half-way from black to cyan (eosinophil) lies teal (basophil), from red to green olive.
"""

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.images import Pixels

Where = npt.NDArray[np.bool_]

_BLOCK = np.ones((3, 3), np.uint8)
_NEAR = np.ones((5, 5), np.uint8)
_FAR = np.ones((9, 9), np.uint8)
"""An edge, with the ringing of JPEG beside it, is not wider than this."""


def between_classes(label: Pixels, known: Where) -> Where:
    """bool (h, w): the 5x5 pixels around hold two classes. label: u1 (h, w). known: where it is to be trusted."""
    lowest = cv2.erode(np.where(known, label, 255).astype(np.uint8), _NEAR)
    highest = cv2.dilate(np.where(known, label, 0).astype(np.uint8), _NEAR)
    between: Where = lowest < highest
    return between


def far_from(known: Where) -> Where:
    """bool (h, w): none of the 9x9 pixels around is known."""
    far: Where = cv2.dilate(known.astype(np.uint8), _FAR) == 0
    return far


def flat(colour: Pixels) -> Where:
    """bool (h, w): all 3x3 pixels around have one colour. colour: u1 (h, w, 3)."""
    same: Where = (cv2.dilate(colour, _BLOCK) == cv2.erode(colour, _BLOCK)).all(axis=2)
    return same


def thin_between(label: Pixels, known: Where) -> Where:
    """bool (h, w): pixels of a class that is nowhere 3x3 pixels thick around them, with two other classes within 5x5:
    as a blend of these would be."""
    thin, classes_near = np.zeros_like(known), np.zeros(label.shape, np.uint8)
    for number in np.unique(label[known]).tolist():
        here = (known & (label == number)).astype(np.uint8)
        thick = cv2.dilate(cv2.erode(here, _BLOCK), _BLOCK)
        thin |= here > thick
        classes_near += cv2.dilate(here, _NEAR)
    return thin & (classes_near > 2)
