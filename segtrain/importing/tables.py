"""CSV files that tell something of each image, written by hand or taken from another dataset's `splits.csv`."""

import csv
from collections.abc import Sequence
from pathlib import Path

from smearsynth.errors import UserError

_NAMES = ("image", "file", "filename", "name")


def read_table(path: Path, column: str) -> dict[str, str]:
    """Image to what stands in `column`. A file has a header with `image` (or file, filename, name) and `column`, or
    just two columns. Raises UserError with its line."""
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UserError(f"{path}: cannot be read as a CSV file; give lines `image,{column}`.") from None
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    name = next((known for known in _NAMES if known in head), None)
    has_head = name is not None and column in head
    i, j = (head.index(str(name)), head.index(column)) if has_head else (0, 1)
    told: dict[str, str] = {}
    for number, row in enumerate(rows[has_head:], 1 + has_head):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) <= max(i, j) or (not has_head and len(row) != 2) or not row[i].strip() or not row[j].strip():
            raise UserError(f"{path}, line {number}: give `image,{column}`, not `{','.join(row)}`.")
        image, value = row[i].strip(), row[j].strip()
        if told.setdefault(image, value) != value:
            raise UserError(f"{path}, line {number}: {image} stands there before with another {column}; keep one line.")
    return told


def look_up(table: dict[str, str], names: Sequence[str], path: Path, column: str) -> tuple[list[str], list[str]]:
    """What the table tells of each image, "" where nothing, and a sentence for each of these. names: paths below the
    folder of images; a table may give less of one: the file's name, or its stem."""
    found, faults = [], []
    for name in names:
        bare = Path(name)
        shorter = (name, bare.with_suffix("").as_posix(), bare.name, bare.stem)
        found.append(next((table[short] for short in shorter if short in table), ""))
        if not found[-1]:
            faults.append(f"{path}: has no line for {name}; add `{name},{column.upper()}`.")
    return found, faults
