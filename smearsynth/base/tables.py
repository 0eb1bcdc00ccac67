"""Tables and names that somebody else wrote: CSV rows with their line for messages, headings and names in any spelling,
and no path that leads out of its folder."""

import csv
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path, PurePath

from smearsynth.base.errors import UserError, first_line

_MOST_ERRORS = 10
"""That one sentence each is given to."""
_MOST_BYTES = 50_000_000
"""Of a table."""

Row = tuple[str, dict[str, str]]
"""File and line, for messages, and column -> text without surrounding spaces."""


def canonical(name: str) -> str:
    """`Platelet clumps`, `platelet_clump` and `PlateletClump` are all `plateletclump`."""
    if not any(c.isalpha() for c in name):
        return name.strip()
    words = re.findall(r"[^\W_]+", name.casefold())
    return "".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def locate(root: Path, path: str) -> Path:
    """The file `path` of a source, absolute. Raises UserError where it leaves `root` by `..`, a drive or a link, other
    than a link to a folder in it, as a user makes to data on another disk."""
    base = root.resolve()
    try:
        folders = [base / part for part in list(PurePath(path).parents)[:-1]]
        linked = [folder.resolve() for folder in folders if folder.is_symlink()]
        inside = [base, *(folder for folder in linked if not base.is_relative_to(folder))]
        file = (base / path).resolve()
        file.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{root}: {path!r:.200} names no file ({first_line(error):.60}); correct the name") from None
    if not any(file.is_relative_to(folder) for folder in inside):
        raise UserError(f"{path}: leads out of the source's folder {root}; keep all files of a source inside it")
    return file


def read_text(root: Path, path: str, form: str) -> str:
    """The text of a file of a source, of less than 50 million bytes. form: such as CSV, for the UserError."""
    file = root / path
    try:
        with locate(root, path).open("rb") as opened:
            data = opened.read(_MOST_BYTES)
            text = decoded(data)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as {form} ({error}); save it as {form} in UTF-8") from None
    if len(data) == _MOST_BYTES:
        raise UserError(
            f"{file}: a file of {form} has less than {_MOST_BYTES:,} bytes; exclude it, or cut it into parts"
        )
    return text


def read_table(root: Path, path: str, columns: Mapping[str, Sequence[str]], optional: Sequence[str] = ()) -> list[Row]:
    """The rows of a table, as `split_rows` takes it; empty lines and further columns are ignored.

    columns: column -> the headings it may have, in any case, the most usual first. optional: columns that may be left
    out, and then stand in no row, or be empty in a row. Raises UserError.
    """
    lines = _read_lines(root, path)
    if not lines:
        raise UserError(f"{root / path}: the table is empty; give it the columns {', '.join(columns)}")
    (where, header), *lines = lines
    places = {column: _find(header, headings, where) for column, headings in columns.items()}
    missing = [column for column, place in places.items() if place is None and column not in optional]
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
        if not all(value or column in optional for column, value in values.items()):
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
    try:
        rows = split_rows(read_text(root, path, "CSV"))
    except csv.Error as error:
        raise UserError(f"{root / path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from None
    return [(f"{root / path}, line {line}", cells) for line, cells in rows if any(cells)]


def decoded(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 as Excel's Unicode text is, which begins with its mark. Raises UnicodeDecodeError."""
    return data.decode("utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig")


def split_rows(text: str) -> list[tuple[int, list[str]]]:
    """Line and cells, without surrounding spaces, of each row. What separates cells is what the first line says, as
    Excel reads it (`sep=;`), else whichever it has most of: commas, semicolons or tabs. Raises csv.Error."""
    stated = re.match(r"sep=([,;\t])\r?\n", text)
    first = text.partition("\n")[0]
    delimiter = stated[1] if stated else max(",;\t", key=first.count)
    # A quote that nobody closes would swallow all rows after it in silence.
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    return rows[1:] if stated else rows


def _find(header: Sequence[str], headings: Sequence[str], where: str) -> int | None:
    """The place of the column that has one of the headings."""
    names = [canonical(name) for name in header]
    name = next((canonical(heading) for heading in headings if canonical(heading) in names), None)
    if name is None:
        return None
    if names.count(name) > 1:
        raise UserError(f"{where}: {header[names.index(name)]!r} heads two columns; rename the one that does not count")
    return names.index(name)
