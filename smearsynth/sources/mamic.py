"""MAMIC: Giemsa thin smears, read as fields with boxes, and as crops cut by hand in a folder per class."""

from dataclasses import replace

from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.class_names import classify, folders_of, name_by_folder, resolve
from smearsynth.sources.entry import Entry, Facts, Listing, Method, Redistribution
from smearsynth.sources.fields import annotations_of, calibrating, field_entries
from smearsynth.sources.source_files import SourceFiles

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
    found = annotations_of(spec, files)
    crops = [path for path in files.images if path not in found.images]
    names = {name for path in crops for name in folders_of(path)} | {cell.name for cell in found.cells}
    known = resolve(names, spec, {})
    classes, left_out = classify(name_by_folder(crops, known), known)
    entries = [Entry(path=path, class_key=key, group=path, method=Method.STAIN) for path, key in classes.items()]
    boxed, unused = field_entries(spec, found, known)
    entries += [entry for entry in boxed if entry.class_key is not None]
    return Listing(
        facts=replace(FACTS, calibrate=calibrating(entries)),
        entries=tuple(entries),
        left_out=left_out + unused + found.left_out,
        tables=found.files,
    )
