"""What reading a mask gives, whatever its form."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from smearsynth.images import MaskPixels, Pixels
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
