"""Masks of two levels, soft edges and traces of JPEG included.

Which level of black and white masks is the cells: in transmitted light they are darker than the glass around.

Masks that hold a number per pixel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from segtrain.importing.mask_reading import Reading, between_classes, thin_between, with_transparency
from segtrain.importing.palettes import RGB, Palette
from smearsynth.base.images import MaskPixels, Pixels
from smearsynth.taxonomy import IGNORE

Cells = Literal["white", "black"]

_SOFT = 1 / 3
_FEW = 0.001
"""Most pixels between the levels: this share of the rarer level, whose edge is a pixel wide, and this of the image. A
map of instances, or a third level, has far more."""
_COLOURED = 64
"""Difference of a pixel's channels that JPEG does not bring into grey."""
_NUMBERS = 64
"""A brightest value below this is a number and no brightness, unless it is the only one beside 0."""


class LevelReader:
    """Masks to 0 (background) and 1 (cells). White is the upper quarter of a mask's range, black the lower; between
    them is 255. The range ends at the brightest value, after JPEG at 255."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    def read(self, mask: MaskPixels) -> Reading:
        value, colour = mask.value, mask.colour
        if mask.palette is not None:
            colour = mask.palette[value]
        if colour is not None:
            if coloured := np.count_nonzero(np.ptp(colour, axis=2) > _COLOURED):
                fault = f"{coloured:,} pixels are coloured; name the colours by --palette reference or a YAML file"
                return Reading(label=np.zeros(colour.shape[:2], np.uint8), faults=(fault,))
            value = colour.max(axis=2)
        assert value is not None
        return self._of_grey(value.astype(np.uint32), mask)

    def _of_grey(self, value: npt.NDArray[np.uint32], mask: MaskPixels) -> Reading:
        top = 255 if mask.lossy else max(int(value.max()), 1)
        white, black = 4 * value > 3 * top, 4 * value <= top
        cells, glass = (white, black) if self._cells == "white" else (black, white)
        label = np.where(glass, 0, np.where(cells, 1, IGNORE)).astype(np.uint8)
        between = np.count_nonzero(label == IGNORE)
        many = between > _SOFT * min(np.count_nonzero(white), np.count_nonzero(black)) + _FEW * label.size
        if many or (top < _NUMBERS and not mask.lossy and np.unique(value).size > 2):
            return Reading(label=label, faults=(_fault(value),))
        return Reading(label=with_transparency(label, mask.alpha))


def _fault(value: npt.NDArray[np.uint32]) -> str:
    levels = np.unique(value)
    shown = ", ".join(map(str, levels[:5])) + ", ..." * (len(levels) > 5)
    return f"is not black and white (values {shown}); if they are class ids, give --palette ids or a YAML file"


_LEAST = 100
"""Pixels that cells and glass each need before their brightness is compared."""
_CLEARLY = 4.0
"""Grey levels by which they must differ."""


@dataclass(frozen=True, kw_only=True)
class Polarity:
    """cells: their level, None where the images don't tell. agreeing: masks that speak for it. others: names of those
    that speak against it."""

    cells: Cells | None
    agreeing: int
    others: tuple[str, ...]


def brightness_of_cells(image: Pixels, label: Pixels) -> float:
    """Mean grey of the image where the label is 1 less that where it is 0; 0 where one of them is too rare.

    image: u1 (h, w, 3) RGB. label: u1 (h, w).
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells, glass = label == 1, label == 0
    if min(np.count_nonzero(cells), np.count_nonzero(glass)) < _LEAST:
        return 0.0
    return float(grey[cells].mean() - grey[glass].mean())


def judge(brightness: Mapping[str, float]) -> Polarity:
    """brightness: of what is white in each mask, by its name."""
    white = tuple(name for name, value in brightness.items() if value <= -_CLEARLY)
    black = tuple(name for name, value in brightness.items() if value >= _CLEARLY)
    if len(white) == len(black):
        return Polarity(cells=None, agreeing=len(white), others=black)
    if len(white) > len(black):
        return Polarity(cells="white", agreeing=len(white), others=black)
    return Polarity(cells="black", agreeing=len(black), others=white)


_UNKNOWN = 256
_THIN = 0.05
"""Share of pixels near edges that are of a class too thin to be one: under 0.01 in drawn masks of 600x800 px, 0.10 to
0.22 after they were resized by any interpolation but nearest."""


class ValueReader:
    """Index masks to labels: a grey value, or the place in the file's own palette, is looked up as it is."""

    def __init__(self, palette: Palette) -> None:
        self._palette = palette
        self._table = np.full(65_536, _UNKNOWN, np.uint16)
        for value, label in palette.values.items():
            self._table[value] = label

    def read(self, mask: MaskPixels) -> Reading:
        value = mask.value
        if value is None:
            assert mask.colour is not None
            if np.ptp(mask.colour, axis=2).any():
                return _refused(mask.colour.shape, "holds colours and not class ids; name them by --palette")
            value = mask.colour[..., 0].astype(np.uint16)
        if mask.lossy:
            return _refused(value.shape, "has a compression that changes class ids, as JPEG does; save it as PNG")
        found = self._table[value]
        label = np.where(found == _UNKNOWN, IGNORE, found).astype(np.uint8)
        unknown, counts = np.unique(value[found == _UNKNOWN], return_counts=True)
        faults = []
        if unknown.size:
            y, x = np.argwhere(value == unknown[counts.argmax()])[0]
            faults.append(
                f"{counts.sum():,} pixels have {unknown.size} values that are no class, most of them "
                f"{unknown[counts.argmax()]} (at x={x}, y={y}); give a palette file that names them"
            )
        if mask.palette is not None:
            faults += self._wrong_order(mask.palette, np.unique(value))
        return Reading(
            label=with_transparency(label, mask.alpha), faults=tuple(faults), interpolated=_interpolated(label)
        )

    def _wrong_order(self, colours: Pixels, used: np.ndarray) -> list[str]:
        """Where the file draws a number in the colour of another class."""
        for value in used.tolist():
            colour: RGB = tuple(colours[value].tolist())
            due, label = self._palette.colours.get(colour), self._palette.values.get(value)
            if None not in (due, label) and due != label:
                keys = self._palette.classes.keys
                told = [keys[n] if n != IGNORE else "ignored" for n in (label, due) if n is not None]
                return [
                    f"its own palette is in the wrong order: number {value}, which is {told[0]}, has the colour "
                    f"#{bytes(colour).hex()} of {told[1]}; read it by its colours, or put its palette in order"
                ]
        return []


def _interpolated(label: Pixels) -> bool:
    """Whether edges look as after resizing by interpolation: ids between those of both sides, a pixel thick."""
    known = np.ones(label.shape, bool)
    edges = np.count_nonzero(between_classes(label, known))
    return bool(np.count_nonzero(thin_between(label, known, 1)) > _THIN * edges)


def _refused(shape: tuple[int, ...], fault: str) -> Reading:
    return Reading(label=np.zeros(shape[:2], np.uint8), faults=(fault,))
