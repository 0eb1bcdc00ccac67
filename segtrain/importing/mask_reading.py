"""Masks to labels: those of two levels, those that hold a number per pixel, and what they share with colour masks.

A soft edge passes through every value between those of its two sides, and on the way it may meet one that means a class
that is not there: half-way from black to cyan (eosinophil) lies teal (basophil), from red to green olive. So what is
thin and lies between two other classes is no third one.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from skimage import measure

from segtrain.importing.palettes import RGB, Palette
from smearsynth.base.errors import UserError
from smearsynth.base.images import MaskPixels, Pixels, decode_ids
from smearsynth.fields.instance_masks import without_gaps
from smearsynth.shards.format import MAX_OBJECTS
from smearsynth.taxonomy import CLASSES, IGNORE

Cells = Literal["white", "black"]
"""The level of cells in masks of two levels."""
Where = npt.NDArray[np.bool_]

_OPAQUE, _CLEAR = 0.95, 0.05
"""Shares of opacity from which a pixel counts as painted, and up to which as not."""
_SOFTEST = 4
"""Steps from either side into the middle of the widest edge, the ringing of JPEG beside it included."""
_RARE = 0.01
_MOST_BETWEEN = (1 / 3, 0.001)
"""Most pixels between two levels: this share of the rarer level, whose edge is a pixel wide, and this of the image. A
map of instances, or a third level, has far more."""
_COLOURED = 64
"""Difference of a pixel's channels that JPEG does not bring into grey."""
_NUMBERS = 64
"""A brightest value below this is a number and no brightness, unless it is the only one beside 0."""
_MOST_GAPS, _MOST_PIECES = 2, 1.2
"""Highest number of a cell over how many there are, and pieces of one number over these."""
_UNKNOWN = 256
_THIN = 0.05
"""Share of pixels near edges that are of a class too thin to be one: under 0.01 in drawn masks of 600x800 px, 0.10 to
0.22 after they were resized by any interpolation but nearest."""


@dataclass(frozen=True, kw_only=True)
class MaskReading:
    """label: uint8 (h, w), class ids and 255. near: pixels that took a class by a colour near to its own. errors: why
    the mask can't be used, each the rest of a sentence. interpolated: its edges pass through other classes. instance:
    uint16 (h, w), 0 or the number of a cell, 1 to n without gaps, where the cells are told apart; hidden: cells that
    others cover."""

    label: Pixels
    instance: npt.NDArray[np.uint16] | None = None
    hidden: int = 0
    near: int = 0
    errors: tuple[str, ...] = ()
    interpolated: bool = False


class MaskReader(Protocol):
    """Masks of one form to labels."""

    def read(self, mask: MaskPixels) -> MaskReading: ...


class LevelReader:
    """Masks to 0 (background) and 1 (cells). White is the upper quarter of a mask's range, black the lower; between
    them is 255. The range ends at the brightest value, after JPEG at 255."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def read(self, mask: MaskPixels) -> MaskReading:
        colour = mask.colour if mask.palette is None else mask.palette[mask.value]
        if colour is None:
            assert mask.value is not None
            value = mask.value.astype(np.uint32)
        elif coloured := np.count_nonzero(np.ptp(colour, axis=2) > _COLOURED):
            return _refused(
                colour, f"{coloured:,} pixels are coloured; name the colours by the palette reference or a YAML file"
            )
        else:
            value = colour.max(axis=2).astype(np.uint32)
        top = 255 if mask.lossy else max(int(value.max()), 1)
        white, black = 4 * value > 3 * top, 4 * value <= top
        cells, glass = (white, black) if self._cells == "white" else (black, white)
        label = np.where(glass, 0, np.where(cells, 1, IGNORE)).astype(np.uint8)
        of_rarer, of_image = _MOST_BETWEEN
        most = of_rarer * min(np.count_nonzero(white), np.count_nonzero(black)) + of_image * label.size
        numbers = top < _NUMBERS and not mask.lossy and np.unique(value).size > 2
        if numbers or np.count_nonzero(label == IGNORE) > most:
            levels = np.unique(value)
            shown = ", ".join(map(str, levels[:5])) + (", ..." if len(levels) > 5 else "")
            return _refused(
                label,
                f"is not black and white (values {shown}); if they are class ids, name the palette ids or a YAML file, "
                "if each is one cell, instances",
            )
        return MaskReading(label=with_transparency(label, mask.alpha))


class InstanceReader:
    """Masks in which each cell has a number of its own. label: of all of them."""

    def __init__(self, label: int) -> None:
        self._label = np.uint8(label)

    def read_file(self, data: bytes, name: str) -> MaskReading:
        """The numbers may be of 32 bits, and have gaps. Raises UserError."""
        dense, numbers = without_gaps(decode_ids(data, name), name)
        label = np.where(dense > 0, self._label, np.uint8(0))
        return MaskReading(label=label, instance=dense.astype(np.uint16), errors=too_many_cells(len(numbers)))


def too_many_cells(count: int) -> tuple[str, ...]:
    """The error of an image with more cells than a sample can have."""
    return (f"has {count:,} cells, over {MAX_OBJECTS:,}; cut the image",) if count > MAX_OBJECTS else ()


def holds_instances(data: bytes, name: str) -> bool:
    """Whether a mask can be nothing else than numbers of cells: more of them than there are classes, nearly without
    gaps, and each in one place."""
    try:
        ids = decode_ids(data, name)
    except UserError:
        return False
    found, top = len(np.unique(ids[ids > 0])), int(ids.max())
    if top < len(CLASSES) or top > _MOST_GAPS * found:
        return False
    return int(measure.label(ids, connectivity=2).max()) <= _MOST_PIECES * found


class ValueReader:
    """Index masks to labels: a grey value, or the place in the file's own palette, is looked up as it is."""

    def __init__(self, palette: Palette) -> None:
        self._palette = palette
        self._label_of = np.full(65_536, _UNKNOWN, np.uint16)
        for value, label in palette.values.items():
            self._label_of[value] = label

    def read(self, mask: MaskPixels) -> MaskReading:
        value = mask.value
        if value is None:
            assert mask.colour is not None
            if np.ptp(mask.colour, axis=2).any():
                return _refused(mask.colour, "holds colours and not class ids; name them by a palette")
            value = mask.colour[..., 0].astype(np.uint16)
        if mask.lossy:
            return _refused(value, "has a compression that changes class ids, as JPEG does; save it as PNG")
        found = self._label_of[value]
        label = np.where(found == _UNKNOWN, IGNORE, found).astype(np.uint8)
        errors = []
        unknown, counts = np.unique(value[found == _UNKNOWN], return_counts=True)
        if unknown.size:
            most = unknown[counts.argmax()]
            y, x = np.argwhere(value == most)[0]
            errors.append(
                f"{counts.sum():,} pixels have {unknown.size} values that are no class, most of them {most} (at x={x}, "
                f"y={y}); give a palette file that names them"
            )
        if mask.palette is not None:
            errors += self._wrong_order(mask.palette, np.unique(value))
        # After resizing by interpolation, ids lie between those of both sides of an edge, a pixel thick.
        known = np.ones(label.shape, bool)
        edges = np.count_nonzero(between_classes(label, known))
        interpolated = bool(np.count_nonzero(thin_between(label, known, 1)) > _THIN * edges)
        label = with_transparency(label, mask.alpha)
        return MaskReading(label=label, errors=tuple(errors), interpolated=interpolated)

    def _wrong_order(self, colours: Pixels, used: npt.NDArray[np.uint16]) -> list[str]:
        """Where the file draws a number in the colour of another class."""
        keys = dict(enumerate(self._palette.classes.keys)) | {IGNORE: "ignored"}
        for value in used.tolist():
            colour: RGB = tuple(colours[value].tolist())
            of_colour, of_value = self._palette.colours.get(colour), self._palette.values.get(value)
            if of_colour is not None and of_value is not None and of_colour != of_value:
                return [
                    f"its own palette is in the wrong order: number {value}, which is {keys[of_value]}, has the colour "
                    f"#{bytes(colour).hex()} of {keys[of_colour]}; read it by its colours, or put its palette in order"
                ]
        return []


def _refused(mask: npt.NDArray[np.generic], error: str) -> MaskReading:
    return MaskReading(label=np.zeros(mask.shape[:2], np.uint8), errors=(error,))


def with_transparency(label: Pixels, alpha: Pixels | None) -> Pixels:
    """uint8 (h, w): background (0) where nothing was painted, 255 where half was. alpha: uint8 (h, w), None: all
    opaque."""
    if alpha is None:
        return label
    half = np.where(alpha < 255 * _CLEAR, 0, IGNORE).astype(np.uint8)
    return np.where(alpha > 255 * _OPAQUE, label, half)


def between_classes(label: Pixels, known: Where) -> Where:
    """bool (h, w): the 5x5 pixels around hold two classes. label: uint8 (h, w). known: where it is to be trusted."""
    lowest = cv2.erode(np.where(known, label, 255).astype(np.uint8), _square(2))
    highest = cv2.dilate(np.where(known, label, 0).astype(np.uint8), _square(2))
    between: Where = lowest < highest
    return between


def far_from(known: Where) -> Where:
    """bool (h, w): none of the 9x9 pixels around is known."""
    far: Where = cv2.dilate(known.astype(np.uint8), _square(_SOFTEST)) == 0
    return far


def flat(colour: Pixels) -> Where:
    """bool (h, w): all 3x3 pixels around have one colour. colour: uint8 (h, w, 3)."""
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
        thin |= here > cv2.dilate(core, _square(steps))
        classes_near += cv2.dilate(here, _square(2 * steps + 1))
    # One side of an edge may lie outside the image.
    at_border = np.ones(label.shape, bool)
    at_border[steps:-steps, steps:-steps] = False
    return thin & (classes_near + at_border > 2)


def _square(reach: int) -> Pixels:
    """All pixels within so many steps."""
    return np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
