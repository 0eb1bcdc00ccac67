"""A user's own cells: images of one named cell each, in a folder per class or flat with a table of labels."""

from collections import Counter
from dataclasses import replace
from pathlib import PurePosixPath

from smearsynth.base.errors import UserError
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.class_names import classify, folders_of, name_by_folder, resolve
from smearsynth.sources.entry import Entry, Facts, Listing, Method, Redistribution
from smearsynth.sources.source_files import Files, pair_named_masks, pair_same_names
from smearsynth.sources.tables import read_labels
from smearsynth.taxonomy import CLASSES

LAYOUT = (
    "images in a folder per class (`neutrophil`, `platelets`, ... or any name that `classes` maps), or "
    "`labels: FILE.csv` with an id and a class per image; a mask is `X_mask.png`, or has its image's name and "
    "another extension"
)


def list_crops(spec: SourceSpec, files: Files) -> Listing:
    """One entry per image, cut by its mask where it has one, else by its stain."""
    pairs, orphans = pair_named_masks(files.images)
    pairs = pair_same_names(pairs, spec.root)
    if spec.labels is None:
        known = resolve({name for path in pairs for name in folders_of(path)}, spec, {})
        names, left_out = name_by_folder(pairs, known), Counter[str]()
    else:
        names, left_out = read_labels(spec.root, spec.labels, pairs)
        known = resolve(names.values(), spec, {})
        _refuse_unknown(str(spec.root / spec.labels), set(names.values()) - set(known))
    classes, unused = classify(names, known)
    left_out["mask without an image"] += len(orphans)
    entries = tuple(
        Entry(
            path=path,
            class_key=class_key,
            group=path,
            method=Method.STAIN if pairs[path] is None else Method.GIVEN,
            mask=pairs[path],
            also_red=spec.also is not None,
        )
        for path, class_key in classes.items()
    )
    return Listing(
        # No other cell of a smear varies so little in size as the red one.
        facts=replace(facts_of_recipe(spec), calibrate=("healthy_rbc",) if spec.also else _present(entries)),
        entries=entries,
        left_out=left_out + unused,
        tables=() if spec.labels is None else (PurePosixPath(spec.labels).as_posix(),),
    )


def _refuse_unknown(table: str, names: set[str]) -> None:
    if names:
        raise UserError(
            f"{table}: {', '.join(map(repr, sorted(names)))} names no class; map it under the source's `classes`, "
            "or to null to leave it out"
        )


def facts_of_recipe(spec: SourceSpec) -> Facts:
    """What a recipe states of its own cells."""
    return Facts(
        title=spec.title or spec.name,
        licence=spec.licence or "not stated",
        redistribution=Redistribution(spec.redistribution),
        cite=spec.cite or "",
        grouping="image",
        patients_known=False,
    )


def _present(entries: tuple[Entry, ...]) -> tuple[str, ...]:
    present = {entry.class_key for entry in entries}
    return tuple(c.key for c in CLASSES if c.key in present)
