"""The scale of a real image: given, from a table, stated by its file, or by its red cells; to another one and back."""

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.base.errors import UserError
from smearsynth.base.images import Pixels
from smearsynth.base.progress import with_progress
from smearsynth.base.tables import decoded, split_rows
from smearsynth.base.tiff_layout import layout_of
from smearsynth.fields.field_folder import read_image
from smearsynth.fields.otsu import cells_and_nuclei, find_regions
from smearsynth.taxonomy import UM_PER_PX

Areas = npt.NDArray[np.int32]
"""int32 (n,): pixels of each single cell."""

AUTO = "auto"
RED_CELL_UM = 7.3
"""Diameter of a red cell that `auto` takes for granted: the disc of the taxonomy's mean area at 0.20 um/px."""
RANGE = (0.01, 2.0)
"""um/px that a light microscope's camera can have while a red cell is still seen."""
LEAST_CELLS = 5
"""Single red cells without which `auto` gives up."""
_MOST_BYTES = 10_000_000
"""Of a table of scales: some hundred thousand rows."""
_SPREAD = 1.5
"""Diameters of red cells lie within this factor of the typical one; platelets and white cells do not."""


class Scale:
    """um/px by file. spec: a number for all files, the path of a table (name, um/px), or `auto`: what a file states,
    else by its red cells.

    A table's rows are `file name or stem,um/px`; a header line is allowed. Raises UserError at once for a spec that is
    none of these.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self._table: dict[str, float] | None = None
        self._same: float | None = None
        try:
            self._same = _checked(float(spec), "The scale:", "um_per_px")
        except UserError:
            raise
        except ValueError:
            if spec != AUTO:
                self._table = _read_table(Path(spec))

    def of(self, path: Path, image: Pixels, page: int | None = None) -> float:
        """um/px of one image. page: of a TIFF file. Raises UserError where the table lacks it or too few single red
        cells show it."""
        known = self._known(path, page)
        return estimate(image, str(path)) if known is None else known

    def of_folder(self, files: Sequence[Path], *, page: int | None = None, progress: bool = False) -> list[float]:
        """um/px of each image of a folder; by `auto`, one that shows too few single red cells is taken to be of the
        scale that the cells of all images together show. page: of TIFF files. Raises UserError as
        `of` does."""
        scales = {file: known for file in files if (known := self._known(file, page)) is not None}
        bar = with_progress([f for f in files if f not in scales], what="find scales", unit="images", shown=progress)
        areas = {file: _single_areas(read_image(file, page)) for file in bar}
        together = np.concatenate([*areas.values()]) if areas else np.empty(0, np.int32)
        for file, found in areas.items():
            if _red_cells(found).size >= LEAST_CELLS:
                scales[file] = _from_cells(found, str(file))
            else:
                scales[file] = _from_cells(together, f"{file} and all others")
        return [scales[file] for file in files]

    def _known(self, path: Path, page: int | None) -> float | None:
        # No file is opened for what a number or a table says.
        layout = layout_of(path, page) if self.spec == AUTO else None
        return self.known(path, layout.um_per_px if layout else None)

    def known(self, path: Path, stated: float | None) -> float | None:
        """um/px by number or table, else what its file states, where a microscope can have that; None: only its cells
        tell. Raises UserError where the table lacks the image."""
        given = self.given(path)
        return credible(stated) if given is None else given

    def given(self, path: Path) -> float | None:
        """um/px by number or table; None for `auto`. Raises UserError where the table lacks the image."""
        if self._table is None:
            return self._same
        for name in (path.name, path.stem):
            if name in self._table:
                return self._table[name]
        raise UserError(f"{self.spec}: no row for {path.name}; add `{path.name},UM_PER_PX`.")


def credible(um_per_px: float | None) -> float | None:
    """What a file states, where a microscope can have it: 72 pixels an inch are no scale."""
    return um_per_px if um_per_px is not None and RANGE[0] <= um_per_px <= RANGE[1] else None


def estimate(image: Pixels, name: str) -> float:
    """um/px by which the median single red cell has a diameter of 7.3 um. name: for the message of the UserError.

    Single cells are what a threshold leaves as one nearly round region inside the image.
    """
    return _from_cells(_single_areas(image), name)


def to_scale(image: Pixels, um_per_px: float, wanted: float = UM_PER_PX) -> Pixels:
    """uint8 (h', w', 3): an image of `um_per_px` at `wanted` um/px, by area filter down and cubic up."""
    factor = um_per_px / wanted
    height, width = scaled_shape(image.shape, factor)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def scaled_shape(shape: tuple[int, ...], factor: float) -> tuple[int, int]:
    """(h', w') of an image of (h, w, ...) brought by `factor`, the size of the result over its own."""
    height, width = (max(1, round(side * factor)) for side in shape[:2])
    return height, width


def to_native(values: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """float32 (h', w') of a rescaled image back to its `shape` (h, w), linear."""
    return cv2.resize(values, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def _single_areas(image: Pixels) -> Areas:
    """Of all regions but specks: a red cell of at most RANGE um/px is larger."""
    regions = find_regions(cells_and_nuclei(image))
    least = np.pi / 4 * (RED_CELL_UM / RANGE[1]) ** 2
    return regions.area[regions.single & (regions.area >= least)]


def _red_cells(areas: Areas) -> Areas:
    """Half of all area lies in cells as large as a red cell or larger: dust, which is many regions of little area, does
    not move that."""
    areas = np.sort(areas)
    typical = areas[np.searchsorted(np.cumsum(areas), areas.sum() / 2)] if areas.size else 0
    return areas[(areas * _SPREAD**2 > typical) & (areas < typical * _SPREAD**2)]


def _from_cells(areas: Areas, name: str) -> float:
    red = _red_cells(areas)
    if red.size < LEAST_CELLS:
        raise UserError(
            f"{name}: shows {red.size} single red cells and `auto` needs {LEAST_CELLS}; give the scale in numbers",
            "um_per_px",
        )
    diameter = 2 * float(np.sqrt(np.median(red) / np.pi))
    return _checked(RED_CELL_UM / diameter, f"{name}: found by `auto`,")


def _checked(value: float, what: str, *arguments: str) -> float:
    if not RANGE[0] <= value <= RANGE[1]:
        raise UserError(
            f"{what} {value:g} um/px is outside {RANGE[0]} to {RANGE[1]}; give micrometres per pixel", *arguments
        )
    return value


def _read_table(path: Path) -> dict[str, float]:
    try:
        if path.stat().st_size > _MOST_BYTES or not path.is_file():
            raise ValueError("no table")
        rows = split_rows(decoded(path.read_bytes()))
    except (OSError, ValueError, csv.Error):
        raise UserError(
            f"The scale {path}: give a number, `{AUTO}`, or a CSV file of names and um/px", "um_per_px"
        ) from None
    table: dict[str, float] = {}
    for place, (number, row) in enumerate(rows):
        if not any(row) or (place == 0 and not _is_number(row[-1])):
            continue
        if len(row) != 2 or not _is_number(row[1]):
            raise UserError(f"{path}, line {number}: give `file name,um/px`, not `{','.join(row)}`.")
        name, um_per_px = row[0].strip(), _checked(float(row[1]), f"{path}, line {number}:")
        if table.setdefault(name, um_per_px) != um_per_px:
            raise UserError(f"{path}, line {number}: {name} has another scale above; keep one of the two.")
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
