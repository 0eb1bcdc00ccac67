"""CSV tables that come with a source: which rows they have, and every fault of theirs with file and line."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from smearsynth.errors import UserError
from smearsynth.sources.files import locate
from smearsynth.sources.names import canonical

MOST_FAULTS = 10
_MOST = 50_000_000

Row = tuple[str, dict[str, str]]
"""File and line, for messages, and column -> text without surrounding spaces."""


def read_table(root: Path, path: str, columns: Mapping[str, Sequence[str]]) -> list[Row]:
    """The rows of a UTF-8 table, separated by commas or semicolons; empty lines and further columns are ignored.

    columns: column -> the headings it may have, in any case, the most usual first. Raises UserError.
    """
    lines = _lines(root, path)
    if not lines:
        raise UserError(f"{root / path}: the table is empty; give it the columns {', '.join(columns)}")
    (where, header), *lines = lines
    places = {column: _find(header, headings, where) for column, headings in columns.items()}
    missing = [column for column, place in places.items() if place is None]
    if missing:
        raise UserError(
            f"{where}: no column {', '.join(missing)} among {', '.join(map(repr, header))}; "
            f"the first line must name the columns {', '.join(columns)}, or leave the table out by `exclude`"
        )
    rows, faults = [], []
    for where, cells in lines:
        filled = dict(enumerate(cells))
        if any(cells[len(header) :]):
            faults.append(f"{where}: it has more values than the first line has columns; quote what holds a separator")
        values = {column: filled.get(place, "") for column, place in places.items() if place is not None}
        if not all(values.values()):
            faults.append(f"{where}: a value is missing; fill in {', '.join(columns)}")
        rows.append((where, values))
    refuse(faults)
    return rows


def refuse(faults: Sequence[str]) -> None:
    """Raises one UserError for all faults, one a line, if there are any."""
    if faults:
        more = [f"and {len(faults) - MOST_FAULTS} more of the kind"] if len(faults) > MOST_FAULTS else []
        raise UserError("\n".join([*faults[:MOST_FAULTS], *more]))


def _lines(root: Path, path: str) -> list[tuple[str, list[str]]]:
    file = root / path
    try:
        with locate(root, path).open(encoding="utf-8-sig", newline="") as opened:
            text = opened.read(_MOST)
        if len(text) == _MOST:
            raise UserError(f"{file}: a table has less than {_MOST:,} characters; exclude it, or cut it into parts")
        first = text.partition("\n")[0]
        delimiter = ";" if first.count(";") > first.count(",") else ","
        # A quote that nobody closes would swallow all rows after it in silence.
        reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as a table ({error}); save it as CSV in UTF-8") from None
    return [(f"{file}, line {line}", cells) for line, cells in rows if any(cells)]


def _find(header: Sequence[str], headings: Sequence[str], where: str) -> int | None:
    names = [canonical(name) for name in header]
    name = next((canonical(heading) for heading in headings if canonical(heading) in names), None)
    if name is not None and names.count(name) > 1:
        raise UserError(f"{where}: {header[names.index(name)]!r} heads two columns; rename the one that does not count")
    return None if name is None else names.index(name)
