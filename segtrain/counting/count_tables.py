"""The tables of a count: a row for each cell, and a summary of every image, group and all of them; CSV and XLSX.

Each row says by which network, at which operating point, at which um/px and by which version its figures were found.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import islice
from typing import Any, BinaryIO, TextIO

from segtrain.counting.cell_measures import MeasuredCell
from segtrain.counting.summary import CountSummary, Share
from segtrain.inference.ready_networks import Networks
from smearsynth.base.errors import UserError

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
"""image: its name, after "./" where a spreadsheet would else take it for a formula. class: its key, or "unsure". x, y,
left, top, right, bottom: px of the image as it was given. border: edges of the image that cut the cell, "top left" for
two. counted: 1, or 0 for a cell that the bottom or the right edge cuts. In a table, um_per_px and what `made_with`
gives follow."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a spreadsheet cell that is computed instead of shown."""
_DECIMALS = {"x": 1, "y": 1, "area_um2": 2, "confidence": 3, "eccentricity": 3, "um_per_px": 5}
"""Of a number in the table of cells."""
_DIGITS = 12
"""Of a network's digest, as `segtrain weights` shows them."""
_MOST_ROWS = 1_000_000
"""Of a sheet: Excel has 1,048,576."""
_ABOUT = {
    "use": "for research, and not for a diagnosis",
    "parasitaemia": "infected of all red cells, with its 95 % interval (Wilson 1927)",
    "parasitaemia_corrected": "by false_alarms and recall (Rogan and Gladen 1978; Lang and Reiczigel 2014)",
    "CLASS_share": "of differential_of white cells, with the exact binomial 95 % interval (table of Rümke 1960)",
    "intervals": "the chance of having met these cells, and not what the network takes a cell for",
    "unsure": "cells to whose class (of red cells to both) networks give less than a half; in no count of a class",
    "counted": "0 for a cell that the bottom or the right edge of its image cuts; it is in no count",
}
"""What a reader of a workbook has to know of its columns."""
Row = Mapping[str, Any]


def made_with(networks: Networks) -> dict[str, Any]:
    """Where figures come from. network: first digits of the sha256 of the weights, of a second network that names cells
    behind a slash. operating_point: log-odds from which a red cell is infected, "" where there is none; false_alarms,
    recall: its known errors, as "28 of 1416"; prevalence: the share of infected red cells that it was moved for.
    version: of segtrain."""
    namer = networks.namer
    digests = ["+".join(digest[:_DIGITS] for digest in one.digests) for one in (networks, namer) if one is not None]
    point = networks.operating_point
    rates = {"false_alarms": point.false_alarms, "recall": point.recall} if point else {}
    return {
        "network": "/".join(digests),
        "operating_point": round(point.threshold, 4) if point else "",
        **{name: f"{rate.hits} of {rate.total}" for name, rate in rates.items()},
        **({"prevalence": point.prevalence} if point and point.prevalence else {}),
        "version": f"segtrain {version('smearsynth')}",
    }


def record(image: str, cell: MeasuredCell) -> dict[str, Any]:
    """A cell of that image, by `COLUMNS`."""
    borders = " ".join(cell.borders)
    more = {"image": image, "cell": cell.number, "class": cell.kind, "border": borders, "counted": int(cell.counted)}
    return {name: more[name] if name in more else getattr(cell, name) for name in COLUMNS}


def cell_row(image: str, cell: MeasuredCell, um_per_px: float, origin: Row, groups: Row) -> dict[str, Any]:
    """A row of the table of cells. groups: of the image, by what they are."""
    return {**record(image, cell), **groups, "um_per_px": um_per_px, **origin}


def summary_row(of: str, name: str, scales: Sequence[float], summary: CountSummary, origin: Row) -> dict[str, Any]:
    """A row of the summary: of an image, a group (a patient, a slide) or all, called `name`. scales: um/px of its
    images."""
    row: dict[str, Any] = {"of": of, "name": name, "images": len(scales)}
    row |= {"um_per_px_low": round(min(scales), 5), "um_per_px_high": round(max(scales), 5)}
    row |= {**summary.cells, "red_cells": summary.red_cells, "white_cells": summary.white_cells}
    row |= {"unsure": summary.unsure, "not_counted": summary.not_counted}
    row |= _share("parasitaemia", summary.parasitaemia)
    row |= _share("parasitaemia_corrected", summary.parasitaemia_corrected)
    row["differential_of"] = summary.differential_of
    for key in summary.white_keys:
        row |= _share(f"{key}_share", summary.differential.get(key))
    platelets = summary.platelets_per_red_cell
    row["platelets_per_red_cell"] = "" if platelets is None else round(platelets, 5)
    return {**row, "warnings": "; ".join(summary.warnings), **origin}


def _share(name: str, of: Share | None) -> dict[str, Any]:
    values = {name: of.value, f"{name}_low": of.low, f"{name}_high": of.high} if of else {}
    return {key: round(values[key], 6) if of else "" for key in (name, f"{name}_low", f"{name}_high")}


def write_csv(file: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """file: opened with newline=""."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(_plain(row) for row in rows)


def _plain(row: Row) -> list[Any]:
    values = {name: f"./{v}" if isinstance(v, str) and v.startswith(_FORMULA) else v for name, v in row.items()}
    return [f"{v:.{_DECIMALS[name]}f}" if name in _DECIMALS else v for name, v in values.items()]


def write_workbook(file: BinaryIO, sheets: Mapping[str, tuple[Sequence[str], Iterable[Row]]], about: Row) -> None:
    """An XLSX file: the sheets, name -> columns and rows, those of more than a million rows in several, and a sheet
    `about`. UserError where openpyxl is not installed."""
    openpyxl = workbook_library()
    book = openpyxl.Workbook(write_only=True)
    book.properties.creator = str(about["version"])
    for name, (columns, rows) in sheets.items():
        for number, part in enumerate(_parts(rows), start=1):
            _sheet(book, f"{name} {number}" if number > 1 else name, columns, (_numbers(row) for row in part))
    _sheet(book, "about", ("what", "is"), ([key, str(value)] for key, value in {**about, **_ABOUT}.items()))
    book.save(file)


def workbook_library() -> Any:
    """The module openpyxl. UserError where it is not installed."""
    try:
        import openpyxl
    except ImportError:
        raise UserError("XLSX is written by openpyxl: install it (pip install 'smearsynth[xlsx]')") from None
    return openpyxl


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    part = list(islice(left, _MOST_ROWS))
    yield part
    while part := list(islice(left, _MOST_ROWS)):
        yield part


def _sheet(book: Any, name: str, columns: Sequence[str], rows: Iterable[list[Any]]) -> None:
    sheet = book.create_sheet(name)
    sheet.freeze_panes = "A2"
    sheet.append(list(columns))
    for row in rows:
        sheet.append(row)


def _numbers(row: Row) -> list[Any]:
    """Values as they stand in CSV, numbers as numbers."""
    values = zip(row, _plain(row), strict=True)
    return [float(value) if name in _DECIMALS else None if value == "" else value for name, value in values]
