"""Folders of images and masks to a dataset: everything is read and judged first, and only then written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from segtrain.importing import import_plan
from segtrain.importing.import_plan import Source, fault_of, make_source, ordered
from segtrain.importing.imported_set import Index, check_target, new_folder, write_index, write_shards, write_tables
from segtrain.importing.palettes import BINARY, Palette, read_palette
from segtrain.importing.patches import Patches, Target, read_patches, read_size
from segtrain.importing.survey import Gathered, gather, refuse
from segtrain.importing.value_masks import Cells
from smearsynth.base.errors import UserError
from smearsynth.fields.scale import AUTO, RANGE, Scale
from smearsynth.shards.format import Header

_LOOK = "imported"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A set that is on the disk. index: as `importing.index` says. remarks: sentences that the user should hear."""

    out: Path
    index: Index
    remarks: tuple[str, ...]

    def __str__(self) -> str:
        splits: dict[str, Any] = self.index["splits"]
        lines = [
            f"{split:<6}{told['samples']:>8,} samples of {told['images']:,} images in {told['groups']:,} groups"
            for split, told in splits.items()
        ]
        total = sum(sum(told["pixels"].values()) for told in splits.values())
        for c in self.index["classes"]:
            pixels = sum(told["pixels"][c["key"]] for told in splits.values())
            lines.append(f"{c['id']:>3} {c['key']:<20}{pixels / total:>9.3%} of the pixels")
        return "\n".join([f"{self.out}, {self.index['um_per_px']:.4g} um/px", *lines, f"digest {self.index['digest']}"])


def import_pairs(
    images: str | Path,
    masks: str | Path,
    *,
    out: str | Path,
    palette: str = BINARY,
    cells: Cells | None = None,
    um_per_px: str | float = AUTO,
    to_um_per_px: float | None = None,
    resize: str | None = None,
    patches: str | None = None,
    split: str | None = None,
    group: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Imported:
    """Makes a dataset of the images in a folder and of their masks in another, as `find_pairs` brings them together.

    palette: "binary", "ids", "reference" or a YAML file. cells: "white" or "black" in masks of two levels, else told
    by the images. um_per_px: their scale, a number, a table's path, or "auto". to_um_per_px: a scale to bring them to;
    or resize: a size, "N" or "WIDTHxHEIGHT". patches: "SIZE", "SIZE,OVERLAP" or "SIZE,N", cut after the split. split:
    see `read_rule`; group: see `read_groups`. overwrite: replace what an import wrote to `out`.
    Raises UserError with every fault of the input, before anything is written.
    """
    out = Path(out)
    check_target(out, overwrite=overwrite)
    known, target, scale = read_palette(palette), _target(to_um_per_px, resize), Scale(str(um_per_px))
    cutting = read_patches(patches) if patches else None
    if cells and known.form != "levels":
        raise UserError(f"--cells {cells} is for masks of two levels, and --palette {palette} is none: leave it out.")
    have = gather(Path(images), Path(masks), known, cells=cells, split=split, group=group, seed=seed, progress=progress)
    sources = _sources(have, scale, target, cutting, progress=progress)
    said = [*([have.found] if have.found else []), *import_plan.on_masks(have.surveyed, known)]
    said += [*import_plan.on_copies(have.surveyed, have.splits), *import_plan.on_form(sources, target, cutting)]
    header = _header(known, median(target.um_per_px_of(s.surveyed.size, s.um_per_px) for s in sources))
    with new_folder(out, overwrite=overwrite) as folder:
        shards = list(write_shards(folder, sources, reader=have.reader, header=header, progress=progress))
        write_tables(folder, sources, shards)
        index = write_index(
            folder,
            header=header,
            classes=known.classes,
            sources=sources,
            shards=shards,
            imported={
                "palette": _plain(known),
                "cells": have.cells,
                "um_per_px": scale.spec,
                "to_um_per_px": to_um_per_px,
                "resize": resize,
                "patches": patches,
                "split": str(have.rule),
                "group": group,
                "seed": seed,
                "remarks": said,
            },
        )
    return Imported(out=out, index=index, remarks=tuple(said))


def _target(to_um_per_px: float | None, resize: str | None) -> Target:
    if to_um_per_px is not None and resize is not None:
        raise UserError("--to-um-per-px and --resize exclude each other: give one of them.")
    if to_um_per_px is not None and not RANGE[0] <= to_um_per_px <= RANGE[1]:
        raise UserError(f"--to-um-per-px {to_um_per_px:g}: must be {RANGE[0]} to {RANGE[1]}; smears have 0.2.")
    return Target(um_per_px=to_um_per_px, size=read_size(resize, "--resize") if resize else None)


def _sources(
    have: Gathered, scale: Scale, target: Target, patches: Patches | None, *, progress: bool
) -> Sequence[Source]:
    """What becomes of each pair, in the order of their samples. Raises UserError."""
    um_per_px = scale.of_folder([one.pair.image for one in have.surveyed], progress=progress)
    number = {name: i for i, name in enumerate(dict.fromkeys(have.groups))}
    sources = [
        make_source(
            one,
            split=split,
            group=number[name],
            group_name=name,
            um_per_px=um,
            target=target,
            patches=patches,
        )
        for one, split, name, um in zip(have.surveyed, have.splits, have.groups, um_per_px, strict=True)
    ]
    refuse([fault for fault in map(fault_of, sources) if fault])
    return ordered(sources)


def _header(palette: Palette, um_per_px: float) -> Header:
    return Header(
        split="",
        looks=(_LOOK,),
        recipe_hash="",
        bank_digest="",
        fields=(),
        um_per_px=um_per_px,
        class_ids=palette.classes.ids,
        class_keys=palette.classes.keys,
        class_colours=palette.classes.colours,
        taxonomy_version=palette.taxonomy_version,
        generator_version=0,
    )


def _plain(palette: Palette) -> dict[str, Any]:
    colours = {f"#{bytes(rgb).hex()}": label for rgb, label in palette.colours.items()}
    values = {str(value): label for value, label in palette.values.items()}
    return {"name": palette.name, "form": palette.form, "colours": colours, "values": values}
