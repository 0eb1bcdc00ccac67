"""Files of annotations, one reader per form: each gives what a file says, in the file's own terms.

CSV         a table with the columns file, class, x, y and, for boxes, width, height; um_per_px where files differ
Pascal VOC  `X.xml`: an <annotation> of <object>s with <name> and <bndbox>
CVAT        its XML "for images": boxes, ellipses, polygons, masks and points
COCO        a .json with `images`, `annotations` (`bbox`, `segmentation` as polygons or run lengths) and `categories`
QuPath      `X.geojson`: polygons and points with a classification
ImageJ      `X.zip` or `X_rois.zip`, a set of ROIs, or `X.roi`
YOLO        `X.txt` beside its image or in another folder: class, centre x, y, width, height as shares of the image, or
            class and corners of a polygon. `data.yaml`, `classes.txt` or `obj.names` names the classes; without it
            they are "0", "1", ...
Chula       `Label/N.txt` for `Dataset/N.jpg`: x, y and a type of the Chula RBC-12 set

A file of none of these forms gives nothing.
"""

import posixpath
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import yaml

from smearsynth.base.errors import UserError, first_line
from smearsynth.base.tables import read_table, read_text
from smearsynth.fields.annotation_rows import AnnotationFile, AnnotationRow, number
from smearsynth.fields.cell_outlines import Polygons
from smearsynth.fields.json_annotations import read_json
from smearsynth.fields.roi_annotations import read_rois
from smearsynth.fields.scale import RANGE
from smearsynth.fields.xml_annotations import read_xml

SUFFIXES = frozenset({".csv", ".geojson", ".json", ".names", ".roi", ".txt", ".xml", ".yaml", ".yml", ".zip"})
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
NAMES_FILES = ("data.yaml", "data.yml", "classes.txt", "obj.names")
BEYOND = 0.01
"""Of an image's side, by which a box may leave it: what annotation tools round."""


def read_rows(file: AnnotationFile) -> Iterator[AnnotationRow]:
    """What one file says. Raises UserError where a table is broken as a whole."""
    return _READERS.get(PurePosixPath(file.path).suffix.casefold(), _read_nothing)(file)


def _read_csv(file: AnnotationFile) -> Iterator[AnnotationRow]:
    group = {} if file.group_column is None else {"group": (file.group_column,)}
    table = read_table(file.root, file.path, {**_COLUMNS, **group}, _OPTIONAL)
    file.used.add(file.path)
    for where, row in table:
        try:
            if bool(row.get("width")) != bool(row.get("height")) or not row.get("um_per_px", "1"):
                raise UserError(f"a value is missing; fill in {', '.join(row)}")
            x, y, width, height = (number(row.get(name) or "0", name) for name in ("x", "y", "width", "height"))
            if row.get("width") and not (width or height):
                raise UserError("a box of 0x0 px holds nothing; leave width and height of a point empty")
            scale = number(row["um_per_px"], "um_per_px") if "um_per_px" in row else None
            if scale is not None and not RANGE[0] <= scale <= RANGE[1]:
                raise UserError(f"um_per_px is {scale:g}; give micrometres per pixel, {RANGE[0]} to {RANGE[1]}")
            values = x, y, width, height
            yield AnnotationRow(where, row["file"], row["class"], values, um_per_px=scale, group=row.get("group"))
        except UserError as error:
            file.errors.append(f"{where}: {error}")


def _read_numbers(file: AnnotationFile) -> Iterator[AnnotationRow]:
    """YOLO's and Chula's form: five numbers a line, or three."""
    if posixpath.basename(file.path.casefold()) in NAMES_FILES:
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
    for count, row in enumerate(values, start=1):
        where = f"{file.where}, line {count}"
        try:
            yield _chula(where, file.stem, row) if len(row) == 3 else _yolo(where, file.stem, row, names)
        except UserError as error:
            file.errors.append(f"{where}: {error}")


def _chula(where: str, image: str, row: Sequence[float]) -> AnnotationRow:
    x, y, code = row
    if code not in range(len(CHULA_TYPES)):
        raise UserError(f"{code:g} is no type of Chula RBC-12; they are 0 to {len(CHULA_TYPES) - 1}")
    return AnnotationRow(where, image, CHULA_TYPES[int(code)], (number(x, "x"), number(y, "y"), 0, 0))


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
    outline = Polygons(((tuple(zip(shares[::2], shares[1::2], strict=True)),),))
    return AnnotationRow(where, image, name, outline.bounds, shares=True, outline=outline)


def _names_for(file: AnnotationFile) -> dict[int, str] | None:
    """Names of the classes from the nearest names file: in the folder of a file, or the next above that has one."""
    for folder in PurePosixPath(file.path).parents:
        for name in NAMES_FILES:
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
    ".geojson": read_json,
    ".json": read_json,
    ".roi": read_rois,
    ".txt": _read_numbers,
    ".xml": read_xml,
    ".zip": read_rois,
}
