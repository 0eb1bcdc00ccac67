"""Tables of boxes: which cell of which field lies where. Every row is proven before one is used."""

import math
import posixpath
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from smearsynth.errors import UserError
from smearsynth.images import Header, read_header
from smearsynth.sources.files import Files, locate
from smearsynth.sources.tables import read_table, refuse

NUMBERS = ("x", "y", "width", "height")
COLUMNS = {"file": ("file", "filename"), "class": ("class", "label"), **{name: (name,) for name in NUMBERS}}


@dataclass(frozen=True)
class Box:
    """A cell by its class name as written; x, y, width, height in whole px; where: table and line, for messages."""

    path: str
    name: str
    corners: tuple[int, int, int, int]
    where: str


def read_boxes(root: Path, files: Files) -> list[Box]:
    """The rows of all tables of a source, in the tables' order; those of excluded images are skipped.

    A field is named relative to its table's folder, in any case where that tells which it is. Raises UserError with all
    faulty rows: no number, a box outside its image, an image that is not there, a path out of the folder.
    """
    images: dict[str, list[str]] = defaultdict(list)
    for path in files.images:
        images[path.casefold()].append(path)
    excluded = {path.casefold() for path in files.excluded}
    header = cache(lambda path: read_header(locate(root, path)))
    boxes, faults = [], []
    for table in files.tables:
        for where, row in read_table(root, table, COLUMNS):
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
            except UserError as fault:
                faults.append(f"{where}: {fault}")
    refuse(faults)
    return boxes


def _inside(folder: str, name: str) -> str:
    """Path relative to the root of a file that is named relative to a folder in it."""
    path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
    if path.split("/")[0] == ".." or posixpath.isabs(path) or PureWindowsPath(name).drive:
        raise UserError(f"{name} leads out of the source's folder; keep the field inside it")
    return path


def _corners(row: dict[str, str], header: Header) -> tuple[int, int, int, int]:
    x, y, width, height = (_whole(row[name], name) for name in NUMBERS)
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
