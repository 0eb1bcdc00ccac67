"""A user's own cells: images of one named cell each, in a folder per class or flat with a table of labels."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from smearsynth.base.errors import UserError
from smearsynth.base.tables import canonical, raise_errors, read_table
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.class_names import classify, folders_of, name_by_folder, resolve
from smearsynth.sources.entry import Entry, Facts, Listing, Method, Redistribution
from smearsynth.sources.source_files import SourceFiles, pair_named_masks, pair_same_names
from smearsynth.taxonomy import CLASSES

LAYOUT = (
    "images in a folder per class (`neutrophil`, `platelets`, ... or any name that `classes` maps), or "
    "`labels: FILE.csv` with an id and a class per image; a mask is `X_mask.png`, or has its image's name and "
    "another extension"
)


_PATIENT = ("patient", "donor", "subject", "person")
"""Headings, in `canonical` form, of which everybody knows that a value stands for one patient."""
_LABEL_COLUMNS = {
    "id": ("id", "image id", "image", "image name", "file", "file name", "name"),
    "class": ("class", "class label", "class name", "label", "category", "cell type", "type"),
}


def list_crops(spec: SourceSpec, files: SourceFiles) -> Listing:
    """One entry per image, cut by its mask where it has one, else by its stain."""
    pairs, orphans = pair_named_masks(files.images)
    pairs = pair_same_names(pairs, spec.root)
    if spec.labels is None:
        known = resolve({name for path in pairs for name in folders_of(path)}, spec, {})
        names, left_out = name_by_folder(pairs, known), Counter[str]()
        groups: dict[str, str] = {}
    else:
        names, groups, left_out = _read_labels(spec.root, spec.labels, pairs, spec.group_column)
        known = resolve(names.values(), spec, {})
        if unknown := sorted(set(names.values()) - set(known)):
            raise UserError(
                f"{spec.root / spec.labels}: {', '.join(map(repr, unknown))} names no class; map it under the source's "
                "`classes`, or to null to leave it out"
            )
    classes, unused = classify(names, known)
    left_out["mask without an image"] += len(orphans)
    entries = tuple(
        Entry(
            path=path,
            class_key=class_key,
            group=groups[path] if path in groups else group_of(path, spec),
            method=Method.STAIN if pairs[path] is None else Method.GIVEN,
            mask=pairs[path],
            also_red=spec.also is not None,
            name=names[path],
        )
        for path, class_key in classes.items()
    )
    present = {entry.class_key for entry in entries}
    # No other cell of a smear varies so little in size as the red one.
    calibrate = ("healthy_rbc",) if spec.also else tuple(c.key for c in CLASSES if c.key in present)
    return Listing(
        facts=replace(facts_of_recipe(spec), calibrate=calibrate),
        entries=entries,
        left_out=left_out + unused,
        tables=() if spec.labels is None else (PurePosixPath(spec.labels).as_posix(),),
    )


def facts_of_recipe(spec: SourceSpec) -> Facts:
    """What a recipe states of its own cells."""
    grouping, patients_known = "image", False
    if spec.group_column is not None:
        grouping = spec.group_column
        patients_known = canonical(grouping).removesuffix("id") in _PATIENT
    elif spec.group is not None:
        named = [name for name in re.compile(spec.group).groupindex if name in ("patient", "slide")]
        grouping = named[0] if len(named) == 1 else f"match of `{spec.group}` in its path"
        patients_known = "patient" in named
    return Facts(
        title=spec.title or spec.name,
        licence=spec.licence or "not stated",
        redistribution=Redistribution(spec.redistribution),
        cite=spec.cite or "",
        grouping=grouping,
        patients_known=patients_known,
    )


def group_of(path: str, spec: SourceSpec) -> str:
    """What a split must not divide: the file, or what the recipe's expression finds in its path. Raises UserError."""
    if spec.group is None:
        return path
    match = re.search(spec.group, path)
    group = ("/".join(part or "" for part in match.groups()) or match[0]) if match else ""
    if not group:
        raise UserError(f"{path}: `group: {spec.group}` finds nothing in this name; change the expression, or the name")
    return group


def _read_labels(
    root: Path, table: str, images: Iterable[str], group: str | None
) -> tuple[dict[str, str], dict[str, str], Counter[str]]:
    """Image -> class name as written; image -> what stands in the column `group`, if one is asked for; and what was
    left out, by reason.

    `1` and `001` both find `001.bmp`, unless a file has that very name. Raises UserError with all wrong rows: an id
    that fits several images, or an image with two classes or groups.
    """
    images = list(images)
    by_id = _images_by_id(images)
    names: dict[str, str] = {}
    groups: dict[str, str] = {}
    places: dict[str, str] = {}
    columns = _LABEL_COLUMNS if group is None else {**_LABEL_COLUMNS, "group": (group,)}
    left_out, errors = Counter[str](), []
    for where, row in read_table(root, table, columns):
        label_id = row["id"].casefold()
        *exact, by_number = by_id
        fits = next((found[label_id] for found in exact if label_id in found), by_number.get(_number(label_id), []))
        if not fits:
            left_out["label without an image"] += 1
        elif len(fits) > 1:
            errors.append(f"{where}: {row['id']} fits {', '.join(fits)}; write the whole file name")
        elif names.setdefault(fits[0], row["class"]) != row["class"]:
            errors.append(f"{where}: {fits[0]} has another class in {places[fits[0]]}; keep one of the two")
        elif group and groups.setdefault(fits[0], row["group"]) != row["group"]:
            errors.append(f"{where}: {fits[0]} has another {group} in {places[fits[0]]}; keep one of the two")
        else:
            places.setdefault(fits[0], where)
    raise_errors(errors)
    left_out["image without a label"] += len(images) - len(names)
    return {path: names[path] for path in images if path in names}, groups, +left_out


def _images_by_id(images: Iterable[str]) -> tuple[dict[str, list[str]], ...]:
    """Images by path, name, each without extension, and number: the ways an id can name one, most exact first."""
    ways: tuple[dict[str, list[str]], ...] = tuple(defaultdict(list) for _ in range(5))
    for image in images:
        path = PurePosixPath(image.casefold())
        keys = (str(path), path.name, str(path.with_suffix("")), path.stem, _number(path.stem))
        for way, key in zip(ways, keys, strict=True):
            way[key].append(image)
    return ways


def _number(stem: str) -> str:
    """`1` for `001`; any other text as it is."""
    stem = re.sub(r"^(\d+)\.0+$", r"\1", stem)  # as a spreadsheet or pandas writes it
    return stem.lstrip("0") or "0" if stem.isdecimal() else stem
