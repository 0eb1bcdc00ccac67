"""Folders of images and masks to a dataset: every pair is read and checked, the set planned, and only then written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from segtrain.importing.image_mask_pairs import MaskPair, find_pairs
from segtrain.importing.import_plan import Patches, PlannedPair, Target, cover, plan_pairs, read_patches, read_size
from segtrain.importing.imported_set import Index, check_target, new_folder, write_index, write_shards, write_tables
from segtrain.importing.mask_reading import Cells, holds_instances
from segtrain.importing.outlined_images import find_outlined, has_annotations, read_class_names
from segtrain.importing.pair_check import CheckedPair, check_pairs
from segtrain.importing.palettes import BINARY, INSTANCES, Palette, nnunet_palette, read_palette
from smearsynth.base.errors import UserError
from smearsynth.base.images import read_bytes
from smearsynth.fields.scale import AUTO, RANGE, Scale
from smearsynth.shards.format import IMPORTED_FIELDS, Header
from smearsynth.taxonomy import BY_KEY, IGNORE

_LOOK = "imported"
_LOOKED_AT = 8
"""Masks by which it is found whether they hold instances."""
_NAMED = 20
"""Files that a warning names."""
_STRETCH = 1.01
_SPREAD = 1.1
"""Ratio of the sides, and of the largest to the smallest scale, from which it is said."""


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """A set that is on the disk. index: as `importing.imported_set` says. warnings: sentences that the user should
    read."""

    out: Path
    index: Index
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        splits: dict[str, Any] = self.index["splits"]
        lines = [
            f"{split:<6}{of['samples']:>8,} samples of {of['images']:,} images in {of['groups']:,} groups"
            for split, of in splits.items()
        ]
        total = sum(sum(of["pixels"].values()) for of in splits.values())
        for c in self.index["classes"]:
            pixels = sum(of["pixels"][c["key"]] for of in splits.values())
            lines.append(f"{c['id']:>3} {c['key']:<20}{pixels / total:>9.3%} of the pixels")
        return "\n".join([f"{self.out}, {self.index['um_per_px']:.4g} um/px", *lines, f"digest {self.index['digest']}"])


def import_annotations(
    images: str | Path,
    masks: str | Path | None = None,
    *,
    out: str | Path,
    palette: str = AUTO,
    classes: Mapping[str, str | None] | str | Path | None = None,
    rest: Literal["background", "ignore"] = "background",
    cells: Cells | None = None,
    um_per_px: str | float = AUTO,
    to_um_per_px: float | None = None,
    resize: str | None = None,
    patches: str | None = None,
    split: str | None = None,
    group: str | None = None,
    page: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> ImportResult:
    """Makes a dataset of the images in a folder and of their masks in another, as `find_pairs` brings them together, or
    of what an annotation tool says of them, as `find_outlined` does: COCO, YOLO, CVAT, QuPath, ImageJ, cellpose, ...

    masks: their folder, or a file or folder of annotations; None: these stand in the folder of the images. palette:
    "binary", "ids", "reference", "instances" (each value is a cell), "instances:KEY" (of that class) or a YAML file;
    "auto" is "instances" where masks can be nothing else, what `dataset.json` of nnU-Net says, else "binary". classes:
    of annotations, what their names stand for, a mapping or the path of a YAML file of lines `NAME: CLASS`; null gives
    255. rest: of annotations, what nobody outlined is; "ignore" gives 255. cells: "white" or "black" in masks of two
    levels, else found by the images. um_per_px: their scale, a number, a table's path, or "auto". to_um_per_px: a scale
    to bring them to; or resize: a size, "N" or "WIDTHxHEIGHT". patches: "SIZE", "SIZE,OVERLAP" or "SIZE,N", cut after
    the split. split: see `read_rule`; group: see `read_groups`. page: of TIFF images, where several could be the
    image, from 1. seed: of the split. overwrite: replace what an import wrote to `out`. progress: bars on stderr, or
    lines in a log. Raises UserError with every error of the input, before anything is written.

    >>> made = segtrain.import_annotations(
    ...     "photos", "masks", out="imported", palette="ids", um_per_px=0.2, progress=False
    ... )
    >>> made.index["samples"]
    10
    """
    out = Path(out)
    check_target(out, overwrite=overwrite)
    target, scale = _target(to_um_per_px, resize), Scale(str(um_per_px))
    cutting = read_patches(patches) if patches else None
    source = _read_input(Path(images), Path(masks) if masks else None, palette, classes, rest, page)
    known = source.palette
    if cells and known.form != "levels":
        raise UserError(f"masks of the palette {palette} have more than two levels: leave `{cells}` out", "cells")
    have = check_pairs(
        [replace(pair, page=page) for pair in source.pairs],
        source.errors,
        known,
        cells=cells,
        split=split,
        group=group,
        seed=seed,
        progress=progress,
    )
    scales = scale.of_folder([one.pair.image for one in have.pairs], page=page, progress=progress)
    pairs = plan_pairs(have, scales, target, cutting)
    warnings = [
        *source.warnings,
        *([have.found] if have.found else []),
        *_warnings_of_masks(have.pairs, known),
        *_warnings_of_copies(have.pairs, have.splits),
        *_warnings_of_form(pairs, target, cutting),
    ]
    header = Header(
        split="",
        looks=(_LOOK,),
        recipe_hash="",
        bank_digest="",
        fields=IMPORTED_FIELDS if known.form == "instances" else (),
        um_per_px=median(target.um_per_px_of(pair.checked.size, pair.um_per_px) for pair in pairs),
        class_ids=known.classes.ids,
        class_keys=known.classes.keys,
        class_colours=known.classes.colours,
        taxonomy_version=known.taxonomy_version,
        generator_version=0,
    )
    with new_folder(out, overwrite=overwrite) as folder:
        shards = list(write_shards(folder, pairs, reader=have.reader, header=header, progress=progress))
        write_tables(folder, pairs, shards)
        index = write_index(
            folder,
            header=header,
            classes=known.classes,
            pairs=pairs,
            shards=shards,
            imported={
                "palette": _plain(known),
                **({"names": dict(source.labels), "rest": rest} if source.labels else {}),
                "cells": have.cells,
                "um_per_px": scale.spec,
                "to_um_per_px": to_um_per_px,
                "resize": resize,
                "patches": patches,
                "split": str(have.rule),
                "group": group,
                **({"page": page} if page else {}),
                "seed": seed,
                "remarks": warnings,
            },
        )
    return ImportResult(out=out, index=index, warnings=tuple(warnings))


@dataclass(frozen=True, kw_only=True)
class _Input:
    """labels: of the names of annotations; empty where there are masks."""

    pairs: Sequence[MaskPair]
    errors: list[str]
    palette: Palette
    labels: Mapping[str, int]
    warnings: Sequence[str]


def _read_input(
    images: Path,
    masks: Path | None,
    palette: str,
    classes: Mapping[str, str | None] | str | Path | None,
    rest: str,
    page: int | None,
) -> _Input:
    asked = None if palette == AUTO else read_palette(palette)
    if has_annotations(images, masks):
        keys = asked.classes.keys if asked else tuple(BY_KEY)
        names = classes if classes is None or isinstance(classes, Mapping) else read_class_names(Path(classes), keys)
        outlined = find_outlined(
            images, masks, classes=names, palette=palette, rest=IGNORE if rest == "ignore" else 0, page=page
        )
        return _Input(
            pairs=outlined.pairs,
            errors=[],
            palette=outlined.palette,
            labels=outlined.labels,
            warnings=outlined.warnings,
        )
    if given := [name for name, value in (("classes", classes), ("rest", rest != "background")) if value]:
        raise UserError(f"{masks or images}: holds masks, whose pixels say what they are: leave it out", *given)
    pairs, errors = find_pairs(images, masks or images)
    known, warnings = (asked, ()) if asked else _recognised(pairs)
    return _Input(pairs=pairs, errors=errors, palette=known, labels={}, warnings=warnings)


def _recognised(pairs: Sequence[MaskPair]) -> tuple[Palette, Sequence[str]]:
    """What masks of which nobody said anything hold, and a sentence on it."""
    if pairs and (known := nnunet_palette(pairs[0].mask.parent)):
        keys = dict(enumerate(known.classes.keys)) | {IGNORE: "ignored"}
        classes = ", ".join(f"{value} {keys[label]}" for value, label in sorted(known.values.items()))
        return known, [f"the values of the masks are what {known.name} of nnU-Net says: {classes}"]
    for pair in pairs[:_LOOKED_AT]:
        named = pair.mask.stem.endswith("_cp_masks")
        if named or holds_instances(read_bytes(pair.mask), str(pair.mask)):
            how = "cellpose's name" if named else "values"
            return read_palette(INSTANCES), [
                f"each value of the masks is one cell, by the {how} of {pair.mask_name}; if not, name the palette"
            ]
    return read_palette(BINARY), ()


def _target(to_um_per_px: float | None, resize: str | None) -> Target:
    if to_um_per_px is not None and resize is not None:
        raise UserError("images are brought to a scale or to a size: give one of the two", "to_um_per_px", "resize")
    if to_um_per_px is not None and not RANGE[0] <= to_um_per_px <= RANGE[1]:
        raise UserError(f"must be {RANGE[0]} to {RANGE[1]}, not {to_um_per_px:g}; smears have 0.2", "to_um_per_px")
    return Target(um_per_px=to_um_per_px, size=read_size(resize, "resize") if resize else None)


def _plain(palette: Palette) -> dict[str, Any]:
    colours = {f"#{bytes(rgb).hex()}": label for rgb, label in palette.colours.items()}
    values = {str(value): label for value, label in palette.values.items()}
    return {"name": palette.name, "form": palette.form, "colours": colours, "values": values}


def _warnings_of_masks(pairs: Sequence[CheckedPair], palette: Palette) -> Iterator[str]:
    """Masks with a single class, edges that look interpolated, labels that are not what their pixel says."""
    keys = palette.classes.keys
    single = []
    for one in pairs:
        found = [key for label, key in enumerate(keys) if one.pixels[label]]
        if len(found) < 2:
            single.append(f"{one.pair.mask_name} ({found[0] if found else 'ignored'})")
    if single:
        yield f"{_counted(single, 'mask has', 'masks have')} one class only: {_listed(single)}"
    if odd := [one.pair.mask_name for one in pairs if one.interpolated]:
        yield (
            f"{_counted(odd, 'mask has', 'masks have')} thin lines of other ids along edges, as after resizing by "
            f"interpolation, which makes up classes: {_listed(odd)}"
        )
    if near := [one.near for one in pairs if one.near]:
        yield f"{sum(near):,} pixels of {_counted(near, 'mask', 'masks')} took the class of the nearest colour"
    if hidden := sum(one.hidden for one in pairs):
        yield f"{hidden:,} outlined cells lie wholly below others, and are left out"
    if ignored := sum(int(one.pixels[IGNORE]) for one in pairs):
        total = sum(int(one.pixels.sum()) for one in pairs)
        yield f"{ignored:,} pixels ({ignored / total:.2%}) are uncertain or to be ignored, and have the label {IGNORE}"


def _warnings_of_copies(pairs: Sequence[CheckedPair], splits: Sequence[str]) -> Iterator[str]:
    """Images that stand in two splits under two names."""
    first: dict[str, tuple[str, str]] = {}
    for one, split in zip(pairs, splits, strict=True):
        name, other = first.setdefault(one.image_sha256, (one.pair.name, split))
        if split != other:
            yield f"{one.pair.name} in {split} is the same image as {name} in {other}"


def _warnings_of_form(pairs: Sequence[PlannedPair], target: Target, patches: Patches | None) -> Iterator[str]:
    """Scales that differ, images that were stretched, pixels that are in no patch."""
    scales = [target.um_per_px_of(pair.checked.size, pair.um_per_px) for pair in pairs]
    if max(scales) > _SPREAD * min(scales):
        yield (
            f"the images are of {min(scales):.3f} to {max(scales):.3f} um/px; a target of 0.2 um/px would bring them "
            "to one scale"
        )
    stretched = [pair.checked.pair.name for pair in pairs if _stretch(pair) > _STRETCH]
    if stretched and target.size:
        yield f"{_counted(stretched, 'image was', 'images were')} stretched to another form: {_listed(stretched)}"
    if patches and (cut := sum(not cover(patches, pair.resampled) for pair in pairs)):
        yield f"the patches leave out pixels of {cut} of {len(pairs)} images; a larger SIZE or N would reach them"


def _stretch(pair: PlannedPair) -> float:
    """Ratio of the factors of height and width, over 1."""
    down, across = (new / old for new, old in zip(pair.resampled, pair.checked.size, strict=True))
    return max(down, across) / min(down, across)


def _listed(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _counted(things: Sequence[object], one: str, several: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else several}"
