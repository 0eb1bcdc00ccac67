"""CSV tables that come with a source: their rows, boxes of cells among them, and every error with file and line.

Every row is proven before one is used.
"""

import csv
import math
import posixpath
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path, PurePosixPath, PureWindowsPath

from smearsynth.base.errors import UserError
from smearsynth.base.images import ImageHeader, read_header
from smearsynth.sources.class_names import canonical
from smearsynth.sources.source_files import SourceFiles, locate

_MOST_ERRORS = 10
"""That one sentence each is given to."""
_MOST_CHARACTERS = 50_000_000
"""Of a table."""
_NUMBERS = ("x", "y", "width", "height")
_BOX_COLUMNS = {"file": ("file", "filename"), "class": ("class", "label"), **{name: (name,) for name in _NUMBERS}}

Row = tuple[str, dict[str, str]]
"""File and line, for messages, and column -> text without surrounding spaces."""


@dataclass(frozen=True)
class Box:
    """A cell by its class name as written; x, y, width, height in whole px; where: table and line, for messages."""

    path: str
    name: str
    corners: tuple[int, int, int, int]
    where: str


def read_table(root: Path, path: str, columns: Mapping[str, Sequence[str]]) -> list[Row]:
    """The rows of a UTF-8 table, separated by commas or semicolons; empty lines and further columns are ignored.

    columns: column -> the headings it may have, in any case, the most usual first. Raises UserError.
    """
    lines = _read_lines(root, path)
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
    rows, errors = [], []
    for where, cells in lines:
        filled = dict(enumerate(cells))
        if any(cells[len(header) :]):
            errors.append(f"{where}: it has more values than the first line has columns; quote what holds a separator")
        values = {column: filled.get(place, "") for column, place in places.items() if place is not None}
        if not all(values.values()):
            errors.append(f"{where}: a value is missing; fill in {', '.join(columns)}")
        rows.append((where, values))
    raise_errors(errors)
    return rows


def raise_errors(errors: Sequence[str]) -> None:
    """Raises one UserError for all errors, one a line, if there are any."""
    if errors:
        more = [f"and {len(errors) - _MOST_ERRORS} more of the kind"] if len(errors) > _MOST_ERRORS else []
        raise UserError("\n".join([*errors[:_MOST_ERRORS], *more]))


def _read_lines(root: Path, path: str) -> list[tuple[str, list[str]]]:
    file = root / path
    try:
        with locate(root, path).open(encoding="utf-8-sig", newline="") as opened:
            text = opened.read(_MOST_CHARACTERS)
        if len(text) == _MOST_CHARACTERS:
            raise UserError(
                f"{file}: a table has less than {_MOST_CHARACTERS:,} characters; exclude it, or cut it into parts"
            )
        first = text.partition("\n")[0]
        delimiter = ";" if first.count(";") > first.count(",") else ","
        # A quote that nobody closes would swallow all rows after it in silence.
        reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: cannot be read as a table ({error}); save it as CSV in UTF-8") from None
    return [(f"{file}, line {line}", cells) for line, cells in rows if any(cells)]


def _find(header: Sequence[str], headings: Sequence[str], where: str) -> int | None:
    """The place of the column that has one of the headings."""
    names = [canonical(name) for name in header]
    name = next((canonical(heading) for heading in headings if canonical(heading) in names), None)
    if name is None:
        return None
    if names.count(name) > 1:
        raise UserError(f"{where}: {header[names.index(name)]!r} heads two columns; rename the one that does not count")
    return names.index(name)


def read_boxes(root: Path, files: SourceFiles) -> list[Box]:
    """The rows of all tables of a source, in the tables' order; those of excluded images are skipped.

    A field is named relative to its table's folder, in any case where that tells which it is. Raises UserError with all
    wrong rows: no number, a box outside its image, an image that is not there, a path out of the folder.
    """
    images: dict[str, list[str]] = defaultdict(list)
    for path in files.images:
        images[path.casefold()].append(path)
    excluded = {path.casefold() for path in files.excluded}
    header = cache(lambda path: read_header(locate(root, path)))
    boxes, errors = [], []
    for table in files.tables:
        for where, row in read_table(root, table, _BOX_COLUMNS):
            try:
                path = _inside(str(PurePosixPath(table).parent), row["file"])
                fits = images.get(path.casefold(), [])
                if path in files.excluded or (not fits and path.casefold() in excluded):
                    continue
                if not fits:
                    raise UserError(f"no image {row['file']} in {root}; correct the name or remove the row")
                if path not in fits and len(fits) > 1:
                    raise UserError(f"{row['file']} fits {', '.join(fits)}; write the name as it is")
                path = path if path in fits else fits[0]
                boxes.append(Box(path, row["class"], _corners(row, header(path)), where))
            except UserError as error:
                errors.append(f"{where}: {error}")
    raise_errors(errors)
    return boxes


def _inside(folder: str, name: str) -> str:
    """Path relative to the root of a file that is named relative to a folder in it."""
    path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
    if path.split("/")[0] == ".." or posixpath.isabs(path) or PureWindowsPath(name).drive:
        raise UserError(f"{name} leads out of the source's folder; keep the field inside it")
    return path


def _corners(row: dict[str, str], header: ImageHeader) -> tuple[int, int, int, int]:
    x, y, width, height = (_whole(row[name], name) for name in _NUMBERS)
    if width < 1 or height < 1:
        raise UserError(f"a box of {width}x{height} px holds nothing; width and height start at 1")
    if x < 0 or y < 0 or x + width > header.width or y + height > header.height:
        raise UserError(
            f"the box x={x} y={y} width={width} height={height} leaves the image of {header.width}x{header.height} px; "
            "count from the upper left corner"
        )
    return x, y, width, height


def _whole(text: str, name: str) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{name} is {text!r}; give a number of pixels")
    return round(value)
