"""Files of annotations, one reader per form: each gives what a file says, in the file's own terms.

CSV         a table with the columns file, class, x, y and, for boxes, width, height; um_per_px where files differ
Pascal VOC  `X.xml`: an <annotation> of <object>s with <name> and <bndbox>
COCO        a .json with `images`, `annotations` (`bbox`) and `categories`
YOLO        `X.txt` beside its image or in another folder: class, centre x, y, width, height as shares of the image, or
            class and corners of a polygon. `data.yaml`, `classes.txt` or `obj.names` names the classes; without it
            they are "0", "1", ...
Chula       `Label/N.txt` for `Dataset/N.jpg`: x, y and a type of the Chula RBC-12 set

A file of none of these forms gives nothing.
"""

import json
import math
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import yaml

from smearsynth.base.errors import UserError, first_line
from smearsynth.base.tables import read_table, read_text
from smearsynth.fields.scale import RANGE

SUFFIXES = frozenset({".csv", ".json", ".names", ".txt", ".xml", ".yaml", ".yml"})
"""Of files that may hold annotations, or the names of their classes."""
CHULA_TYPES = (
    "normal",
    "macrocyte",
    "microcyte",
    "spherocyte",
    "target",
    "stomatocyte",
    "ovalocyte",
    "teardrop",
    "burr",
    "schistocyte",
    "uncategorised",
    "hypochromia",
    "elliptocyte",
)
"""Names of the types 0 to 12 of Chula RBC-12 (Naruenatthanaset et al. 2021)."""
_COLUMNS = {
    "file": ("file", "filename", "image"),
    "class": ("class", "label"),
    **{name: (name,) for name in ("x", "y", "width", "height", "um_per_px")},
}
_OPTIONAL = ("width", "height", "um_per_px")
_NAMES_FILES = ("data.yaml", "data.yml", "classes.txt", "obj.names")
BEYOND = 0.01
"""Of an image's side, by which a box may leave it: what annotation tools round."""


@dataclass(frozen=True)
class AnnotationRow:
    """What a file says of one cell, or of an image without cells (`name` None). image: as written. values: x, y, width,
    height; of an image's size where `shares`."""

    where: str
    image: str
    name: str | None = None
    values: tuple[float, ...] = ()
    shares: bool = False
    um_per_px: float | None = None


@dataclass(frozen=True)
class AnnotationFile:
    """One file of `files`, to be read: its errors are appended, and it and what names its classes are added to `used`
    where it holds annotations. files: all paths, by what they are in lower case. names_of: the classes by number in a
    names file."""

    root: Path
    path: str
    files: Mapping[str, str]
    names_of: Callable[[str], dict[int, str]]
    errors: list[str]
    used: set[str]

    @property
    def where(self) -> str:
        return str(self.root / self.path)

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem


def read_rows(file: AnnotationFile) -> Iterator[AnnotationRow]:
    """What one file says. Raises UserError where a table is broken as a whole."""
    return _READERS.get(PurePosixPath(file.path).suffix.casefold(), _read_nothing)(file)


def _number(text: Any, name: str) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{name} is {text!r}; give a number")
    return value


def _box(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Of forms that have no points. Raises UserError where it holds nothing."""
    if width <= 0 or height <= 0:
        raise UserError(f"a box of {width:g}x{height:g} px holds nothing; width and height start at 1")
    return x, y, width, height


def _read_csv(file: AnnotationFile) -> Iterator[AnnotationRow]:
    table = read_table(file.root, file.path, _COLUMNS, _OPTIONAL)
    file.used.add(file.path)
    for where, row in table:
        try:
            if bool(row.get("width")) != bool(row.get("height")) or not row.get("um_per_px", "1"):
                raise UserError(f"a value is missing; fill in {', '.join(row)}")
            x, y, width, height = (_number(row.get(name) or "0", name) for name in ("x", "y", "width", "height"))
            if row.get("width") and not (width or height):
                raise UserError("a box of 0x0 px holds nothing; leave width and height of a point empty")
            scale = _number(row["um_per_px"], "um_per_px") if "um_per_px" in row else None
            if scale is not None and not RANGE[0] <= scale <= RANGE[1]:
                raise UserError(f"um_per_px is {scale:g}; give micrometres per pixel, {RANGE[0]} to {RANGE[1]}")
            yield AnnotationRow(where, row["file"], row["class"], (x, y, width, height), um_per_px=scale)
        except UserError as error:
            file.errors.append(f"{where}: {error}")


def _read_voc(file: AnnotationFile) -> Iterator[AnnotationRow]:
    text = read_text(file.root, file.path, "XML")
    try:
        if "<!ENTITY" in text:
            raise ElementTree.ParseError("it declares entities, which no annotation needs")
        tree = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        file.errors.append(f"{file.where}: is no whole XML ({error}); mend it, or leave it out by `exclude`")
        return
    if tree.tag != "annotation":
        return
    file.used.add(file.path)
    yield AnnotationRow(file.where, file.stem)
    for number, cell in enumerate(tree.iter("object"), start=1):
        where = f"{file.where}, object {number}"
        try:
            name = (cell.findtext("name") or "").strip()
            if not name:
                raise UserError("it has no <name>; fill it in")
            left, top, right, bottom = (
                _number(cell.findtext(f"bndbox/{side}"), f"<{side}>") for side in ("xmin", "ymin", "xmax", "ymax")
            )
            yield AnnotationRow(where, file.stem, name, _box(left, top, right - left, bottom - top))
        except UserError as error:
            file.errors.append(f"{where}: {error}")


def _read_coco(file: AnnotationFile) -> Iterator[AnnotationRow]:
    text = read_text(file.root, file.path, "JSON")
    where = file.where
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        file.errors.append(f"{where}: is no whole JSON ({first_line(error)}); mend it, or leave it out by `exclude`")
        return
    if not isinstance(data, dict) or not {"images", "annotations", "categories"} <= data.keys():
        return
    file.used.add(file.path)
    try:
        # A tool may have written the path on its own machine.
        paths = {image["id"]: str(image["file_name"]).replace("\\", "/") for image in data["images"]}
        images = {
            key: posixpath.basename(path) if path[:1] in "/." or path[1:2] == ":" else path
            for key, path in paths.items()
        }
        names = {category["id"]: str(category["name"]) for category in data["categories"]}
        for image in images.values():
            yield AnnotationRow(where, image)
        for number, cell in enumerate(data["annotations"]):
            where = f"{file.where}, annotations[{number}]"
            x, y, width, height = (_number(value, "a value of `bbox`") for value in cell["bbox"])
            yield AnnotationRow(where, images[cell["image_id"]], names[cell["category_id"]], _box(x, y, width, height))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        file.errors.append(
            f"{where}: is no whole COCO ({first_line(error)}); an image has id and file_name, an annotation image_id, "
            "category_id and bbox [x, y, width, height], a category id and name"
        )


def _read_numbers(file: AnnotationFile) -> Iterator[AnnotationRow]:
    """YOLO's and Chula's form: five numbers a line, or three."""
    if posixpath.basename(file.path.casefold()) in _NAMES_FILES:
        return
    rows = [line.split() for line in read_text(file.root, file.path, "text").splitlines() if line.strip()]
    try:
        values = [[float(value) for value in row] for row in rows]
    except ValueError:
        return
    columns = {len(row) for row in values}
    is_yolo = all(count == 5 or (count > 6 and count % 2) for count in columns)
    if columns != {3} and not is_yolo:
        file.errors.append(
            f"{file.where}: gives {' and '.join(map(str, sorted(columns)))} numbers a line; give class, centre x, "
            "y, width, height (YOLO) or x, y, type (Chula), or leave it out by `exclude`"
        )
        return
    file.used.add(file.path)
    yield AnnotationRow(file.where, file.stem)
    names = _names_for(file) if is_yolo and values else None
    for number, row in enumerate(values, start=1):
        where = f"{file.where}, line {number}"
        try:
            yield _chula(where, file.stem, row) if len(row) == 3 else _yolo(where, file.stem, row, names)
        except UserError as error:
            file.errors.append(f"{where}: {error}")


def _chula(where: str, image: str, row: Sequence[float]) -> AnnotationRow:
    x, y, code = row
    if code not in range(len(CHULA_TYPES)):
        raise UserError(f"{code:g} is no type of Chula RBC-12; they are 0 to {len(CHULA_TYPES) - 1}")
    return AnnotationRow(where, image, CHULA_TYPES[int(code)], (_number(x, "x"), _number(y, "y"), 0, 0))


def _yolo(where: str, image: str, row: Sequence[float], names: dict[int, str] | None) -> AnnotationRow:
    code, *shares = row
    if not all(-BEYOND <= share <= 1 + BEYOND for share in shares):
        raise UserError("YOLO's values are shares of the image, 0 to 1; divide by its width and height")
    if code < 0 or code % 1 or (names is not None and code not in names):
        known = "" if names is None else f" among the {len(names)} of the names file; add it there"
        raise UserError(f"{code:g} is no number of a class{known}")
    name = str(int(code)) if names is None else names[int(code)]
    if len(shares) == 4:
        x, y, width, height = shares
        return AnnotationRow(where, image, name, (x - width / 2, y - height / 2, width, height), shares=True)
    across, down = shares[::2], shares[1::2]
    box = (min(across), min(down), max(across) - min(across), max(down) - min(down))
    return AnnotationRow(where, image, name, box, shares=True)


def _names_for(file: AnnotationFile) -> dict[int, str] | None:
    """Names of the classes from the nearest names file: in the folder of a file, or the next above that has one."""
    for folder in PurePosixPath(file.path).parents:
        for name in _NAMES_FILES:
            path = file.files.get(str(folder / name).casefold())
            if path is None:
                continue
            try:
                names = file.names_of(path)
            except UserError as error:
                file.errors.append(str(error))
                return None
            file.used.add(path)
            return names
    return None


def read_names(root: Path, file: str) -> dict[int, str]:
    text = read_text(root, file, "text")
    if not file.casefold().endswith((".yaml", ".yml")):
        # A line in the middle may be empty: the numbers of those after it hold.
        return dict(enumerate(line.strip() for line in text.rstrip().splitlines()))
    try:
        names = yaml.safe_load(text)["names"]
        return {int(key): str(name) for key, name in (names.items() if isinstance(names, dict) else enumerate(names))}
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"{root / file}: names no classes ({first_line(error)}); give `names: [...]` as YOLO has it"
        ) from None


def _read_nothing(_: AnnotationFile) -> Iterator[AnnotationRow]:
    return iter(())


_READERS: dict[str, Callable[[AnnotationFile], Iterator[AnnotationRow]]] = {
    ".csv": _read_csv,
    ".xml": _read_voc,
    ".json": _read_coco,
    ".txt": _read_numbers,
}
