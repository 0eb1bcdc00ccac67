"""Masks that hold a colour per pixel.

A colour of the palette is its class. One near to it, and twice as near as to any other class, is that class too, for
JPEG moves colours; but where nothing else is moved, an area in a near colour was painted so, and an error. What lies
between two classes is an edge, and 255. All else is a colour that the palette lacks, and an error: an edge is known by
where it is, and by being a blend of two of the palette's colours.
"""

from itertools import combinations

import numpy as np
import numpy.typing as npt

from segtrain.importing.mask_reading import (
    MaskReading,
    Where,
    between_classes,
    far_from,
    flat,
    softness,
    thin_between,
    with_transparency,
)
from segtrain.importing.palettes import Palette
from smearsynth.base.images import MaskPixels, Pixels
from smearsynth.taxonomy import IGNORE

Codes = npt.NDArray[np.uint16]

_REACH = 40
"""Distance in RGB up to which a colour may be near to another."""
_BLEND = 12
"""Distance in RGB from the line between two colours up to which it is their blend."""
_NOISE = 64
"""More different colours, beside those of the palette, come from a lossy format, though the file itself may be none."""
_FEW = 64
"""Pixels of strange colours that such a format makes by itself where several edges meet."""
_NEAR, _NO_CLASS, _NO_BLEND, _UNSEEN = 1 << 8, 1 << 9, 1 << 10, 0xFFFF
"""Above the label in the low byte."""
_PIECE = 1 << 20


class ColourReader:
    """Colour masks to labels. Remembers every colour that it has met."""

    def __init__(self, palette: Palette) -> None:
        self._palette = palette
        self._rgb = np.array(list(palette.colours), np.float32)
        self._label = np.array(list(palette.colours.values()), np.uint8)
        self._codes = np.full(1 << 24, _UNSEEN, np.uint16)

    def read(self, mask: MaskPixels) -> MaskReading:
        colour = _colours(mask)
        code = self._code_of(colour)
        label = (code & 0xFF).astype(np.uint8)
        unknown = (code & _NO_CLASS) > 0
        near = int(np.count_nonzero(code & _NEAR))
        if mask.alpha is not None:
            # What lies below transparency is no colour of the mask.
            unknown &= mask.alpha == 255
        errors = self._foreign(colour, code, label, unknown, lossy=mask.lossy) if near or unknown.any() else ()
        if unknown.any():
            label[thin_between(label, ~unknown, softness(unknown))] = IGNORE
        return MaskReading(label=with_transparency(label, mask.alpha), near=near, errors=errors)

    def _code_of(self, colour: Pixels) -> Codes:
        """uint16 (h, w): the label, and how it came about."""
        flat_colour, code = colour.reshape(-1, 3), np.empty(colour.shape[0] * colour.shape[1], np.uint16)
        for start in range(0, len(code), _PIECE):
            packed = _packed(flat_colour[start : start + _PIECE])
            unseen = np.unique(packed[self._codes[packed] == _UNSEEN])
            for first in range(0, len(unseen), 4096):
                new = unseen[first : first + 4096]
                self._codes[new] = self._judged(new)
            code[start : start + _PIECE] = self._codes[packed]
        return code.reshape(colour.shape[:2])

    def _judged(self, packed: npt.NDArray[np.uint32]) -> Codes:
        colour = np.stack([packed >> 16, packed >> 8 & 0xFF, packed & 0xFF], axis=1).astype(np.float32)
        distance = np.linalg.norm(colour[:, None] - self._rgb, axis=2)
        nearest = distance.min(axis=1)
        label = self._label[distance.argmin(axis=1)]
        other = np.where(self._label == label[:, None], np.inf, distance).min(axis=1)
        known = (nearest <= _REACH) & (2 * nearest < other)
        blended = np.zeros(len(colour), bool)
        for one, two in combinations(self._rgb, 2):
            share = ((colour - one) @ (two - one) / np.square(two - one).sum()).clip(0, 1)
            blended |= np.linalg.norm(colour - one - share[:, None] * (two - one), axis=1) <= _BLEND
        by_nearest = label.astype(np.uint16) | np.where(nearest > 0, _NEAR, 0).astype(np.uint16)
        without = np.where(blended, IGNORE | _NO_CLASS, IGNORE | _NO_CLASS | _NO_BLEND).astype(np.uint16)
        return np.where(known, by_nearest, without)

    def _foreign(self, colour: Pixels, code: Codes, label: Pixels, unknown: Where, *, lossy: bool) -> tuple[str, ...]:
        """A sentence on the colours that are neither of the palette nor made from it by an edge or by JPEG."""
        odd = unknown | ((code & _NEAR) > 0)
        known, strange = ~unknown, unknown & ((code & _NO_BLEND) > 0)
        foreign = unknown & far_from(known)
        noisy = lossy or len(np.unique(_packed(colour[odd]))) > _NOISE
        if noisy:
            foreign |= strange & flat(colour)
        else:
            blend = (code & (_NO_CLASS | _NO_BLEND)) == _NO_CLASS
            foreign |= (odd & flat(colour) & ~blend) | (strange & ~between_classes(label, known))
        if np.count_nonzero(foreign) <= (_FEW if noisy else 0):
            return ()
        packed = _packed(colour[odd])
        painted = np.isin(packed, np.unique(_packed(colour[foreign])))
        found, counts = np.unique(packed[painted], return_counts=True)
        most = int(found[counts.argmax()])
        y, x = np.argwhere(odd)[(packed == most).argmax()]
        rgb = most.to_bytes(3)
        lacking = (
            f"the palette lacks {len(found)} of its colours, with {counts.sum():,} pixels, most of them #{rgb.hex()}"
        )
        if tuple(rgb[::-1]) in self._palette.colours:
            remedy = "the palette has it with red and blue exchanged: write red first"
        elif len(set(rgb)) == 1:
            remedy = "if its numbers are class ids, name the palette ids, or a palette file of values"
        else:
            remedy = "add it to a palette file, or mend the mask"
        return (f"{lacking} (at x={x}, y={y}); {remedy}",)


def _colours(mask: MaskPixels) -> Pixels:
    """uint8 (h, w, 3) RGB; of two levels white is 255, of 16 bits the high byte is taken."""
    if mask.colour is not None:
        return mask.colour
    value = mask.value
    assert value is not None
    if mask.palette is not None:
        return mask.palette[value]
    top = value.max()
    grey = value * 255 if top <= 1 else value if top <= 255 else (value.astype(np.uint32) + 128) // 257
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def _packed(colour: Pixels) -> npt.NDArray[np.uint32]:
    """uint32 (...,): the three bytes of (..., 3) as one number."""
    wide = colour.astype(np.uint32)
    return wide[..., 0] * np.uint32(1 << 16) + wide[..., 1] * np.uint32(1 << 8) + wide[..., 2]
