"""The files of a count: which ones a name and formats stand for, and their writing.

One format goes into the file that is named, where its suffix says so. Several go into a folder:

cells.csv, summary.csv      a row for each cell; a row for all, each group and each image
count.xlsx                  both as sheets, and what the figures are
coco.json, NAME_rois.zip, NAME.geojson, NAME_masks.tif: see `cell_files`
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from segtrain.counting.cell_files import IMAGE_FILES, CocoFile, OutlinedField, roi_library
from segtrain.counting.count_tables import COLUMNS, Row, workbook_library, write_csv, write_workbook
from segtrain.counting.pooled_fields import FieldNames
from segtrain.inference.prediction_files import check_new, new_files
from smearsynth.base.errors import UserError
from smearsynth.base.images import IMAGE_SUFFIXES

CSV, XLSX, COCO = "csv", "xlsx", "coco"
FORMATS = (CSV, XLSX, "roi", "geojson", COCO, "instances")
_SUFFIXES = {
    CSV: (".csv", ".txt"),
    XLSX: (".xlsx",),
    "roi": (".zip",),
    "geojson": (".geojson", ".json"),
    COCO: (".json",),
    "instances": (".tif", ".tiff"),
}
"""Of a file that holds the format alone."""
_BY_SUFFIX = {"": CSV, ".csv": CSV, ".txt": CSV, ".xlsx": XLSX, ".zip": "roi", ".geojson": "geojson"}
"""Those that say the format by themselves."""
_IN_FOLDER = {XLSX: "count.xlsx", COCO: "coco.json"}
_CELLS, _SUMMARY = "cells", "summary"


def checked_formats(formats: str | Sequence[str], known: Sequence[str] = FORMATS) -> tuple[str, ...]:
    """Names of formats, or one text of them with commas between. UserError for one that is none of `known`, or whose
    library is not installed."""
    names = formats.split(",") if isinstance(formats, str) else [n for text in formats for n in text.split(",")]
    found = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if unknown := [name for name in found if name not in known]:
        raise UserError(f"There is no format {unknown[0]!r}: choose of {', '.join(known)}", "formats")
    if "roi" in found:
        roi_library()
    if XLSX in found:
        workbook_library()
    return found


@dataclass(frozen=True, kw_only=True)
class CountFiles:
    """Files that are to be written. tables: of all images, by what they hold. of_images: of each image, by format.
    bom: whether a CSV file begins with the mark by which Excel knows UTF-8. key: which number stands for which name."""

    tables: Mapping[str, Path]
    of_images: Mapping[Path, Mapping[str, Path]]
    bom: bool
    key: Path | None = None

    @property
    def has_coco(self) -> bool:
        """Whether all images are written as COCO."""
        return COCO in self.tables

    @property
    def outlined(self) -> bool:
        """Whether outlines of cells are written."""
        return self.has_coco or any(self.of_images.values())

    def write_image(self, image: Path, one: OutlinedField) -> None:
        """The files of an image."""
        files = self.of_images[image]
        for path in files.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        with new_files(list(files.values())) as opened:
            for name, file in zip(files, opened, strict=True):
                IMAGE_FILES[name][1](file, one)

    def write_tables(
        self,
        cells: Iterable[Row],
        summary: Sequence[Row],
        about: Mapping[str, Any],
        coco: CocoFile,
        names: FieldNames,
    ) -> None:
        """Those of all images; all have their names or none has. cells, summary: the rows of either table."""
        columns = (*COLUMNS, *names.groups, "um_per_px", *about)
        # Two tables of one run take the rows twice; else they pass through and are never all in memory.
        cells = list(cells) if {_CELLS, XLSX} <= self.tables.keys() else cells
        sheets: dict[str, tuple[Sequence[str], Iterable[Row]]]
        sheets = {_SUMMARY: (list(summary[0]), summary), _CELLS: (columns, cells)}
        for path in self.tables.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        with new_files(list(self.tables.values())) as opened:
            for name, file in zip(self.tables, opened, strict=True):
                if name == XLSX:
                    write_workbook(file, sheets, about)
                elif name == COCO:
                    coco.write(file)
                else:
                    text = TextIOWrapper(file, encoding="utf-8-sig" if self.bom else "utf-8", newline="")
                    write_csv(text, *sheets[name])
                    text.detach()
        if self.key is not None and names.key is not None:
            with new_files([self.key]) as [key]:
                key.write(names.key.encode())
            self.key.chmod(0o600)


def planned_files(
    out: Path,
    names: FieldNames,
    *,
    formats: str | Sequence[str] = (),
    bom: bool = False,
    key: Path | None = None,
    overwrite: bool = False,
) -> CountFiles:
    """What is to be written for `out`. UserError where that cannot be told, a file is there already, or one of the
    images would be written over."""
    asked = checked_formats(formats)
    chosen = asked or checked_formats(_by_suffix(out))
    single = not asked or (len(asked) == 1 and out.suffix.lower() in _SUFFIXES[asked[0]])
    if not single and out.suffix.lower() in {*IMAGE_SUFFIXES, *_BY_SUFFIX, ".json"} - {""}:
        raise UserError(f"{out} is the name of a file that does not hold {', '.join(asked)}: name a folder", "out")
    if single and not out.absolute().parent.is_dir():
        raise UserError(f"{out}: its folder is not there; make it first", "out")
    per_image = [name for name in chosen if name in IMAGE_FILES]
    if single and per_image and len(names.images) > 1:
        raise UserError(
            f"{out} holds the cells of one image, and {len(names.images)} are given: name a folder, and the format",
            "out",
            "formats",
        )
    tables: dict[str, Path] = {}
    if CSV in chosen:
        tables[_CELLS] = out if single else out / "cells.csv"
        tables[_SUMMARY] = out.with_name(f"{out.stem}_summary{out.suffix}") if single else out / "summary.csv"
    tables |= {name: out if single else out / file for name, file in _IN_FOLDER.items() if name in chosen}
    of_images = {
        path: {n: out if single else out / f"{stem_of(path, names)}{IMAGE_FILES[n][0]}" for n in per_image}
        for path in names.images
    }
    files = [*tables.values(), *(file for of_image in of_images.values() for file in of_image.values())]
    if key is not None:
        if key.absolute().parent.resolve() in {file.absolute().parent.resolve() for file in files}:
            raise UserError(f"{key} would lie beside what it is the key to: name another folder for it", "key")
        if not key.absolute().parent.is_dir():
            raise UserError(f"{key}: its folder is not there; make it first", "key")
        files.append(key)
    if lost := {path.resolve() for path in names.images} & {file.resolve() for file in files}:
        raise UserError(f"{min(lost)} is one of the images, and would be written over: name another file", "out")
    check_new(files, overwrite=overwrite)
    return CountFiles(tables=tables, of_images=of_images, bom=bom, key=key)


def _by_suffix(out: Path) -> str:
    suffix = out.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        raise UserError(
            f"{out} is the name of an image, and what is written is a table: name it FILE.csv, or name the format too",
            "out",
            "formats",
        )
    if suffix not in _BY_SUFFIX:
        raise UserError(
            f"{out}: {suffix} says no format: name it FILE.csv, FILE.xlsx, FILE.zip (ImageJ) or FILE.geojson (QuPath), "
            "or name the format too",
            "out",
            "formats",
        )
    return _BY_SUFFIX[suffix]


def stem_of(path: Path, names: FieldNames) -> str:
    """What the files of an image are called after."""
    return path.stem if names.key is None else names.images[path]
