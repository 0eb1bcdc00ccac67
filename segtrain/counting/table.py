"""Counted cells as CSV, one line each, for a spreadsheet or a program."""

import csv
from collections.abc import Iterable
from typing import TextIO

from segtrain.counting.measure import Cell

COLUMNS = (
    "image",
    "cell",
    "class",
    "x",
    "y",
    "left",
    "top",
    "right",
    "bottom",
    "area_um2",
    "confidence",
    "eccentricity",
    "border",
    "counted",
)
"""image: its name, after "./" where a spreadsheet would else take it for a formula. x, y, left, top, right, bottom: px
of the image as it was given. border: edges that cut the cell, "top left" for two. counted: 1, or 0 for a cell that the
bottom or the right edge cuts."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell of a spreadsheet begins that is computed instead of shown."""


def write_cells(file: TextIO, cells: Iterable[tuple[str, Cell]]) -> None:
    """cells: each with the name of its image. file: opened with newline=""."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image, cell in cells:
        place = (f"{cell.x:.1f}", f"{cell.y:.1f}", cell.left, cell.top, cell.right, cell.bottom)
        measures = (f"{cell.area_um2:.2f}", f"{cell.confidence:.3f}", f"{cell.eccentricity:.3f}")
        name = f"./{image}" if image.startswith(_FORMULA) else image
        writer.writerow((name, cell.number, cell.kind, *place, *measures, " ".join(cell.edges), int(cell.counted)))
