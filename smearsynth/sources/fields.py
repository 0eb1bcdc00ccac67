"""Real fields with some of their cells named: by points, boxes or outlines of any tool (see `fields.annotations`)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from smearsynth.base.tables import raise_errors
from smearsynth.fields.annotations import Annotation, Annotations, read_annotations
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.class_names import resolve
from smearsynth.sources.crops import facts_of_recipe, group_of
from smearsynth.sources.entry import Box, Entry, Listing, Method
from smearsynth.sources.source_files import SourceFiles
from smearsynth.taxonomy import CLASSES, RED_CELLS

LAYOUT = (
    "fields and points, boxes or outlines of their cells: a CSV of the columns file, class, x, y (and width, height), "
    "Pascal VOC or CVAT (.xml), COCO (.json), YOLO (.txt), QuPath (.geojson), ImageJ (.zip, .roi), masks of instances, "
    "or the `Dataset/N.jpg` and `Label/N.txt` of Chula RBC-12"
)


def list_fields(spec: SourceSpec, files: SourceFiles) -> Listing:
    """One entry per point or box, those of unused classes included, and with `rest` one per field for all others."""
    found = annotations_of(spec, files)
    known = resolve({cell.name for cell in found.cells}, spec, {})
    entries, left_out = field_entries(spec, found, known)
    left_out["image without a label"] += len(set(files.images) - found.images - found.masks)
    left_out["crowd"] += len(found.crowds)
    return Listing(
        facts=replace(facts_of_recipe(spec), calibrate=calibrating(entries)),
        entries=tuple(entries),
        left_out=+left_out + found.left_out,
        tables=found.files,
    )


def annotations_of(spec: SourceSpec, files: SourceFiles) -> Annotations:
    """What `labels` names, a file or a folder, else whatever is in the root. Raises UserError."""
    tables = [path for path in files.tables if spec.labels is None or _is_in(path, spec.labels)]
    return read_annotations(
        spec.root, files.images, tables, excluded=files.excluded, group_column=spec.group_column, page=spec.page
    )


def _is_in(path: str, labels: str) -> bool:
    folder = labels.replace("\\", "/").strip("/")
    return path == folder or path.startswith(f"{folder}/")


def field_entries(
    spec: SourceSpec, found: Annotations, known: Mapping[str, str | None]
) -> tuple[list[Entry], Counter[str]]:
    """The entries of annotations, by image, and what was left out, by reason. known: as `resolve` gives it.

    Raises UserError where a name stands for no class, or an image has two scales or no group.
    """
    unknown = {cell.name: cell.where for cell in reversed(found.cells) if cell.name not in known}
    raise_errors(
        [
            f"{where}: {name!r} names no class; map it under the source's `classes`, or to null to leave it out"
            for name, where in unknown.items()
        ]
    )
    scales = {} if spec.um_per_px or spec.calibrate else dict(_of_images(found, "um_per_px", "an image has one scale"))
    groups = _groups(spec, found)
    cells: dict[str, list[Annotation]] = {path: [] for path in sorted(found.images)}
    left_out = Counter[str]()
    for cell in found.cells:
        cells[cell.file].append(cell)
        if known[cell.name] is None:
            what = "outline" if cell.outline else "box" if cell.width else "point"
            left_out[f"{what} of class {cell.name!r}, not used"] += 1
    entries = []
    for path, named in cells.items():
        entry = Entry(
            path=path,
            class_key=None,
            group=groups[path] if spec.group_column else group_of(path, spec),
            method=Method.FIELD,
            um_per_px=scales.get(path),
        )
        entries += [
            replace(entry, class_key=known[one.name], name=one.name, box=_box(one), outline=one.outline)
            for one in named
        ]
        if spec.rest == "healthy_rbc":
            entries.append(replace(entry, also_red=True))
    # A field of which nothing is wanted is not opened.
    wanted = {entry.path for entry in entries if entry.class_key is not None or entry.also_red}
    return [entry for entry in entries if entry.path in wanted], left_out


def calibrating(entries: list[Entry]) -> tuple[str, ...]:
    """Classes by whose area the scale can be found: red cells where there are any, for no other cell of a smear varies
    so little in size."""
    present = {"healthy_rbc" if entry.also_red else entry.class_key for entry in entries}
    red = tuple(c.key for c in CLASSES if c.id in RED_CELLS and c.key in present)
    return red or tuple(c.key for c in CLASSES if c.key in present)


def _groups(spec: SourceSpec, found: Annotations) -> dict[str, str]:
    """What stands in the recipe's `group_column` of each image. Raises UserError where it stands nowhere."""
    if spec.group_column is None:
        return {}
    groups = dict(_of_images(found, "group", f"an image has one {spec.group_column}"))
    raise_errors(
        [
            f"{spec.root}: `group_column: {spec.group_column}` is a column of tables, and none of them has {path}; "
            "add a row of it, or group by `group`"
            for path in sorted(found.images - groups.keys())
        ]
    )
    return groups


def _of_images(found: Annotations, name: str, rule: str) -> Iterator[tuple[str, Any]]:
    """Each image whose table states the value `name` of an annotation, and this value. Raises UserError where it states
    two."""
    stated: dict[str, Any] = {}
    errors = []
    for cell in found.cells:
        value = getattr(cell, name)
        if value is not None and stated.setdefault(cell.file, value) != value:
            errors.append(f"{cell.where}: {cell.file} has another {name} above; {rule}")
    raise_errors(errors)
    yield from stated.items()


def _box(cell: Annotation) -> Box:
    """In whole pixels, a box of one at least; inside the image as the annotation is."""
    x, y = round(cell.x), round(cell.y)
    if not cell.width:
        return x, y, 0, 0
    right, bottom = int(cell.x + cell.width), int(cell.y + cell.height)
    return x, y, max(1, min(round(cell.width), right - x)), max(1, min(round(cell.height), bottom - y))
