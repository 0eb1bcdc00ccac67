"""MAMIC: Giemsa thin smears, read as crops cut by hand (a folder per class) or as fields with a table of boxes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.class_names import classify, folders_of, name_by_folder, resolve
from smearsynth.sources.entry import Entry, Facts, Listing, Method, Redistribution
from smearsynth.sources.source_files import SourceFiles
from smearsynth.sources.tables import Box, raise_errors, read_boxes
from smearsynth.taxonomy import CLASSES, RED_CELLS

LAYOUT = (
    "crops in a folder per class (`thrombocyte`, `platelet clump`, `infected rbc`, `healthy rbc`), "
    "or fields with a CSV of the columns file, class, x, y, width, height"
)
FACTS = Facts(
    title="MAMIC malaria smears",
    licence="not stated",
    redistribution=Redistribution.NOT_STATED,
    cite="MAMIC image database",
    grouping="image",
    patients_known=False,
)


def list_mamic(spec: SourceSpec, files: SourceFiles) -> Listing:
    """One entry per crop and one per box. Crops are not tight: a hand leaves some glass around the cell."""
    boxes = read_boxes(spec.root, files)
    fields = {box.path for box in boxes}
    crops = [path for path in files.images if path not in fields]
    found = {name for path in crops for name in folders_of(path)} | {box.name for box in boxes}
    known = resolve(found, spec, {})
    classes, left_out = classify(name_by_folder(crops, known), known)
    entries = [Entry(path=path, class_key=key, group=path, method=Method.STAIN) for path, key in classes.items()]
    boxed, unused = _boxed(boxes, known)
    entries += boxed
    present = {entry.class_key for entry in entries}
    # Red cells where there are any: no other cell of a smear varies so little in size.
    red = tuple(c.key for c in CLASSES if c.id in RED_CELLS and c.key in present)
    return Listing(
        facts=replace(FACTS, calibrate=red or tuple(c.key for c in CLASSES if c.key in present)),
        entries=tuple(entries),
        left_out=left_out + unused,
        tables=files.tables,
    )


def _boxed(boxes: list[Box], known: Mapping[str, str | None]) -> tuple[list[Entry], Counter[str]]:
    """An entry per box whose class is used; the others counted by reason."""
    raise_errors(
        [
            f"{box.where}: {box.name!r} names no class; map it under the source's `classes`, or to null to leave it out"
            for box in boxes
            if box.name not in known
        ]
    )
    entries, left_out = [], Counter[str]()
    for box in boxes:
        class_key = known[box.name]
        if class_key is None:
            left_out[f"box of class {box.name!r}, not used"] += 1
        else:
            field = Entry(path=box.path, class_key=class_key, group=box.path, method=Method.STAIN, box=box.corners)
            entries.append(field)
    return entries, left_out
