"""Masks that hold a number per pixel."""

import numpy as np

from segtrain.importing.blends import between_classes, thin_between
from segtrain.importing.palette import RGB, Palette
from segtrain.importing.reading import Reading, with_transparency
from smearsynth.images import MaskPixels, Pixels
from smearsynth.taxonomy import IGNORE

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
