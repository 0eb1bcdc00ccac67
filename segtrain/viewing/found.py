"""What was counted in a field, as the page shows it: a cell under the pointer, a table, and a laboratory's figures."""

from io import StringIO
from typing import Any

from segtrain.counting.measure import Cell, FieldCells
from segtrain.counting.summary import Share, Summary, summarise
from segtrain.counting.table import write_cells
from segtrain.data.samples import Classes
from smearsynth.page.frame import share
from smearsynth.taxonomy import CLASSES, RED_CELLS, WHITE_CELLS, display_name


def told_of(found: FieldCells, classes: Classes, name: str) -> dict[str, Any]:
    """objects: of the cells, by their number less 1. counts: by class id. summary: lines of the laboratory's figures.
    warnings: sentences. note: on what was left out. csv: the cells as `segtrain count` writes them. name: of the
    image."""
    summary = summarise(found.cells, keys=classes.keys)
    table = StringIO()
    write_cells(table, ((name, cell) for cell in found.cells))
    more = summary.not_counted
    return {
        "objects": [_object(cell, classes) for cell in found.cells],
        "counts": {classes.keys.index(key): count for key, count in summary.cells.items()},
        "summary": _lines(summary),
        "warnings": [f"{text[:1].upper()}{text[1:]}." for text in summary.warnings],
        "note": f"Not counted: {more} that the bottom or right edge cuts." if more else "",
        "csv": table.getvalue(),
    }


def _object(cell: Cell, classes: Classes) -> dict[str, Any]:
    cut = f"Cut by the {' and '.join(cell.edges)} edge{'s' * (len(cell.edges) > 1)}" if cell.edges else ""
    return {
        "class": classes.keys.index(cell.kind),
        "area_um2": cell.area_um2,
        "confidence": cell.confidence,
        "x": cell.left,
        "y": cell.top,
        "width": cell.right - cell.left,
        "height": cell.bottom - cell.top,
        "note": cut if cell.counted else f"{cut}: not counted",
    }


def _lines(summary: Summary) -> list[dict[str, Any]]:
    """Of what the network does not tell apart, no line says that there is none."""
    lines = [_line("Red cells", f"{summary.red_cells:,}")] if _knows(summary, RED_CELLS) else []
    if summary.parasitaemia:
        lines.append(_line("Parasitaemia", *_share(summary.parasitaemia)))
    if summary.platelets_per_red_cell is not None:
        lines.append(_line("Platelets per red cell", f"{summary.platelets_per_red_cell:.2g}"))
    if _knows(summary, WHITE_CELLS):
        lines.append(_line("White cells", f"{summary.white_cells:,}"))
    return [*lines, *(_line(display_name(key), *_share(of), part=True) for key, of in summary.differential.items())]


def _knows(summary: Summary, ids: tuple[int, ...]) -> bool:
    return any(CLASSES[number].key in summary.cells for number in ids)


def _line(name: str, value: str, interval: str = "", *, part: bool = False) -> dict[str, Any]:
    """interval: of 95 %. part: whether it is a share of the line before."""
    return {"name": name, "value": value, "interval": interval, "part": part}


def _share(of: Share) -> tuple[str, str]:
    """The share and its interval, in per cent."""
    return share(of.value), f"{share(of.low).removesuffix(' %')} to {share(of.high)}"
