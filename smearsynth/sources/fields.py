"""Real fields with some of their cells named: by points or boxes of any annotation tool (see `fields.annotations`)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from smearsynth.base.tables import raise_errors
from smearsynth.fields.annotations import Annotation, Annotations, read_annotations
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.class_names import resolve
from smearsynth.sources.crops import facts_of_recipe, group_of
from smearsynth.sources.entry import Box, Entry, Listing, Method
from smearsynth.sources.source_files import SourceFiles
from smearsynth.taxonomy import CLASSES, RED_CELLS

LAYOUT = (
    "fields and points or boxes of their cells: a CSV of the columns file, class, x, y (and width, height), Pascal VOC "
    "(.xml), COCO (.json), YOLO (.txt), or the `Dataset/N.jpg` and `Label/N.txt` of Chula RBC-12"
)


def list_fields(spec: SourceSpec, files: SourceFiles) -> Listing:
    """One entry per point or box, those of unused classes included, and with `rest` one per field for all others."""
    found = annotations_of(spec, files)
    known = resolve({cell.name for cell in found.cells}, spec, {})
    entries, left_out = field_entries(spec, found, known)
    left_out["image without a label"] += len(set(files.images) - found.images)
    return Listing(
        facts=replace(facts_of_recipe(spec), calibrate=calibrating(entries)),
        entries=tuple(entries),
        left_out=left_out + found.left_out,
        tables=found.files,
    )


def annotations_of(spec: SourceSpec, files: SourceFiles) -> Annotations:
    """What `labels` names, a file or a folder, else whatever is in the root. Raises UserError."""
    tables = [path for path in files.tables if spec.labels is None or _is_in(path, spec.labels)]
    return read_annotations(spec.root, files.images, tables, excluded=files.excluded)


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
    scales = {} if spec.um_per_px or spec.calibrate else _scales(found)
    cells: dict[str, list[Annotation]] = {path: [] for path in sorted(found.images)}
    left_out = Counter[str]()
    seen = set()
    for cell in found.cells:
        if (what := replace(cell, where="")) in seen:
            left_out["annotated twice"] += 1
            continue
        seen.add(what)
        cells[cell.file].append(cell)
        if known[cell.name] is None:
            left_out[f"{'box' if cell.width else 'point'} of class {cell.name!r}, not used"] += 1
    entries = []
    for path, named in cells.items():
        entry = Entry(
            path=path,
            class_key=None,
            group=group_of(path, spec),
            method=Method.FIELD,
            um_per_px=scales.get(path),
        )
        entries += [replace(entry, class_key=known[one.name], name=one.name, box=_box(one)) for one in named]
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


def _scales(found: Annotations) -> dict[str, float]:
    """um/px of the images whose table states it."""
    scales: dict[str, float] = {}
    errors = []
    for cell in found.cells:
        if cell.um_per_px is not None and scales.setdefault(cell.file, cell.um_per_px) != cell.um_per_px:
            errors.append(f"{cell.where}: {cell.file} has another um_per_px above; an image has one scale")
    raise_errors(errors)
    return scales


def _box(cell: Annotation) -> Box:
    """In whole pixels, a box of one at least; inside the image as the annotation is."""
    x, y = round(cell.x), round(cell.y)
    if not cell.width:
        return x, y, 0, 0
    right, bottom = int(cell.x + cell.width), int(cell.y + cell.height)
    return x, y, max(1, min(round(cell.width), right - x)), max(1, min(round(cell.height), bottom - y))
