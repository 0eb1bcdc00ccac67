"""The scale of a real image: given, from a table, or told by its red cells; to another one and back."""

import csv
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.fields.images import Pixels
from segtrain.fields.otsu import otsu_cells
from smearsynth.errors import UserError
from smearsynth.taxonomy import UM_PER_PX

AUTO = "auto"
RED_CELL_UM = 7.3
"""Diameter of a red cell that `auto` takes for granted: the disc of the taxonomy's mean area at 0.20 um/px."""
RANGE = (0.01, 2.0)
"""um/px that a light microscope's camera can have while a red cell is still seen."""
LEAST_CELLS = 5
"""Single red cells without which `auto` gives up."""
_ROUND = 1.4
"""Area of a single cell over that of the largest disc in it, at most: two touching cells have 2."""
_SPREAD = 1.5
"""Diameters of red cells lie within this factor of the typical one; platelets and white cells do not."""


class Scale:
    """um/px by file. spec: a number for all files, the path of a table (name, um/px), or `auto`.

    A table's rows are `file name or stem,um/px`; a header line is allowed. Raises UserError at once for a spec that is
    none of these.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self._table: dict[str, float] | None = None
        self._same: float | None = None
        try:
            self._same = _checked(float(spec), f"--um-per-px {spec}")
        except UserError:
            raise
        except ValueError:
            if spec != AUTO:
                self._table = _read_table(Path(spec))

    def of(self, path: Path, image: Pixels) -> float:
        """um/px of one image. Raises UserError where the table lacks it or too few single red cells show it."""
        if self._same is not None:
            return self._same
        if self._table is None:
            return estimate(image, str(path))
        for name in (path.name, path.stem):
            if name in self._table:
                return self._table[name]
        raise UserError(f"{self.spec}: no row for {path.name}; add `{path.name},UM_PER_PX`.")


def estimate(image: Pixels, name: str) -> float:
    """um/px by which the median single red cell has a diameter of 7.3 um. name: for the message of the UserError.

    Single cells are what Otsu leaves as one nearly round region inside the image: its area is close to that of the
    largest disc within, as the distance transform finds it.
    """
    cells = otsu_cells(image)
    label, count = ndimage.label(cells)
    radius = ndimage.maximum(_depth(cells), label, np.arange(1, count + 1)) if count else np.zeros(0)
    area = np.bincount(label.ravel(), minlength=count + 1)[1:]
    edge = np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])
    inside = ~np.isin(np.arange(1, count + 1), edge)
    area = np.sort(area[inside & (area < _ROUND * np.pi * np.square(radius))])
    # Half of all area: dust, which is many regions of little area, does not move it.
    typical = area[np.searchsorted(np.cumsum(area), area.sum() / 2)] if area.size else 0
    red = area[(area * _SPREAD**2 > typical) & (area < typical * _SPREAD**2)]
    if red.size < LEAST_CELLS:
        raise UserError(
            f"{name}: shows {red.size} single red cells and `auto` needs {LEAST_CELLS}; give --um-per-px in numbers."
        )
    return _checked(RED_CELL_UM / (2 * float(np.sqrt(np.median(red) / np.pi))), f"{name}: found by `auto`,")


def to_scale(image: Pixels, um_per_px: float, wanted: float = UM_PER_PX) -> Pixels:
    """u1 (h', w', 3): an image of `um_per_px` at `wanted` um/px, by area filter down and cubic up."""
    factor = um_per_px / wanted
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def to_native(values: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """f4 (h', w') of a rescaled image back to its `shape` (h, w), linear."""
    return cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def _depth(cells: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Distance to the nearest pixel outside, less the half pixel by which that pixel's edge is nearer; px."""
    return cv2.distanceTransform(np.pad(cells, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] - 0.5


def _checked(value: float, what: str) -> float:
    if not RANGE[0] <= value <= RANGE[1]:
        raise UserError(f"{what} {value:g} um/px is outside {RANGE[0]} to {RANGE[1]}; give micrometres per pixel.")
    return value


def _read_table(path: Path) -> dict[str, float]:
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError):
        raise UserError(f"--um-per-px {path}: give a number, `{AUTO}`, or a CSV file of names and um/px.") from None
    table = {}
    for number, row in enumerate(rows, 1):
        if not row or (number == 1 and not _is_number(row[-1])):
            continue
        if len(row) != 2 or not _is_number(row[1]):
            raise UserError(f"{path}, line {number}: give `file name,um/px`, not `{','.join(row)}`.")
        table[row[0].strip()] = _checked(float(row[1]), f"{path}, line {number}:")
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
