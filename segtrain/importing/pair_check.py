"""Every pair is read once before anything is written: what is wrong with it, and what must be known of all of them.

All errors of the input are raised at once: of names, of files, of splits and groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from segtrain.importing.colour_masks import ColourReader
from segtrain.importing.image_mask_pairs import MaskPair
from segtrain.importing.import_splits import (
    SplitRule,
    divided_groups,
    read_groups,
    read_rule,
    split_as_stated,
    split_by_shares,
    with_copies,
)
from segtrain.importing.mask_reading import (
    Cells,
    InstanceReader,
    LevelReader,
    MaskReader,
    MaskReading,
    ValueReader,
)
from segtrain.importing.outlined_images import OutlinedPair
from segtrain.importing.palettes import Palette
from smearsynth.base.errors import UserError
from smearsynth.base.images import Pixels, decode_image, decode_mask, read_bytes, sha256_of, size_text
from smearsynth.base.progress import with_progress
from smearsynth.base.workers import in_threads
from smearsynth.fields.field_folder import CLEARLY, contrast_of_cells, turned_apart

Reader = MaskReader | InstanceReader
Size = tuple[int, int]
"""Height and width, px."""

_SHOWN = 100
"""Errors that are listed."""


@dataclass(frozen=True, kw_only=True)
class CheckedPair:
    """What is known of a pair. errors: sentences; where there are some, the rest says nothing.

    size: of the image. pixels: int64 (256,), how many have each label. near, interpolated: as of a `MaskReading`.
    cells, hidden: cells that are told apart, and those that others cover. contrast: as `contrast_of_cells` says, where
    it was asked for.
    """

    pair: MaskPair
    size: Size = (0, 0)
    pixels: npt.NDArray[np.int64]
    near: int = 0
    interpolated: bool = False
    cells: int = 0
    hidden: int = 0
    contrast: float = 0.0
    image_sha256: str = ""
    mask_sha256: str = ""
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CheckedInput:
    """pairs: by name. splits, groups: of each. reader: of their masks. cells: their level, where masks have two. found:
    how it was found, "" where it was given."""

    pairs: tuple[CheckedPair, ...]
    splits: tuple[str, ...]
    groups: tuple[str, ...]
    rule: SplitRule
    reader: Reader
    cells: Cells | None
    found: str


def check_pairs(
    pairs: Sequence[MaskPair],
    errors: list[str],
    palette: Palette,
    *,
    cells: Cells | None,
    split: str | None,
    group: str | None,
    seed: int,
    progress: bool,
) -> CheckedInput:
    """Reads all pairs. errors: of names, which come first. Raises UserError with every error: of names, of files, of
    splits and groups."""
    names = [pair.name for pair in pairs]
    rule = read_rule(split, names)
    groups, more = read_groups(group, names)
    errors = [*errors, *more]
    splits: list[str] = []
    if not rule.shares:
        splits, more = split_as_stated(rule, names)
        errors += [*more, *divided_groups(groups, splits)]
    outlined = any(isinstance(pair, OutlinedPair) for pair in pairs)
    ask = palette.form == "levels" and cells is None
    check = partial(_check, reader=_reader_of(palette, cells), ask_contrast=ask)
    bar = with_progress(in_threads(check, pairs), what="read", unit="pairs", total=len(pairs), shown=progress)
    checked = list(bar)
    refuse([*errors, *(error for one in checked for error in one.errors)])
    found = ""
    if ask:
        cells, agreeing = _level_of_cells(checked)
        found = f"cells are {cells} in the masks, for they are the darker part of {agreeing} images"
        if cells == "black":
            checked = [replace(one, pixels=one.pixels[[1, 0, *range(2, 256)]]) for one in checked]
    there = [key for label, key in enumerate(palette.classes.keys) if any(one.pixels[label] for one in checked)]
    if len(there) < 2 - outlined:
        raise UserError(
            f"{checked[0].pair.mask.parent}: all masks together have one class, {there[0] if there else 'none'}; give "
            "the palette that they were painted in."
        )
    groups = with_copies(groups, [one.image_sha256 for one in checked])
    if rule.shares:
        splits = split_by_shares(groups, rule.shares, seed=seed)
    return CheckedInput(
        pairs=tuple(checked),
        splits=tuple(splits),
        groups=tuple(groups),
        rule=rule,
        reader=_reader_of(palette, cells),
        cells=cells,
        found=found,
    )


def refuse(errors: Sequence[str]) -> None:
    """UserError with all of them, a line each, where there are some."""
    if errors:
        more = [f"... and {len(errors) - _SHOWN} errors more."] if len(errors) > _SHOWN else []
        raise UserError("\n".join([*errors[:_SHOWN], *more]))


def _reader_of(palette: Palette, cells: Cells | None) -> Reader:
    """What reads masks of this form; where their level of cells is not known yet, as if it were white."""
    if palette.form == "instances":
        return InstanceReader(palette.cell)
    if palette.form == "levels":
        return LevelReader(cells or "white")
    return ColourReader(palette) if palette.form == "colours" else ValueReader(palette)


def read_image(pair: MaskPair) -> tuple[Pixels, str]:
    """uint8 (h, w, 3) RGB, and the sha256 of the file. Raises UserError."""
    data = read_bytes(pair.image)
    return decode_image(data, str(pair.image), page=pair.page), sha256_of(data)


def read_label(pair: MaskPair, reader: Reader) -> tuple[MaskReading, str]:
    """The mask, or what outlines make, and the sha256 of its file. Raises UserError where it cannot be decoded."""
    if isinstance(pair, OutlinedPair):
        return pair.read()
    data = read_bytes(pair.mask)
    if isinstance(reader, InstanceReader):
        return reader.read_file(data, str(pair.mask)), sha256_of(data)
    return reader.read(decode_mask(data, str(pair.mask))), sha256_of(data)


def _check(pair: MaskPair, *, reader: Reader, ask_contrast: bool) -> CheckedPair:
    errors, pixels = [], np.zeros(256, np.int64)
    try:
        image, image_sha256 = read_image(pair)
    except UserError as error:
        errors.append(str(error))
    try:
        reading, mask_sha256 = read_label(pair, reader)
        errors += [f"{pair.mask}: {error}." for error in reading.errors]
    except UserError as error:
        errors.append(str(error))
    is_mask = not isinstance(pair, OutlinedPair)
    if not errors and is_mask and (turned := turned_apart(pair.image, pair.mask, pair.page)):
        errors.append(turned)
    elif not errors and reading.label.shape != image.shape[:2]:
        sizes = f"{size_text(reading.label.shape)} px, its image {pair.name} {size_text(image.shape)}"
        errors.append(f"{pair.mask}: the mask is {sizes}; give that image's.")
    if errors:
        return CheckedPair(pair=pair, pixels=pixels, errors=tuple(errors))
    return CheckedPair(
        pair=pair,
        size=reading.label.shape,
        pixels=np.bincount(reading.label.ravel(), minlength=256),
        near=reading.near,
        interpolated=reading.interpolated,
        cells=0 if reading.instance is None else int(reading.instance.max()),
        hidden=reading.hidden,
        contrast=contrast_of_cells(image, reading.label == 1, reading.label == 0) if ask_contrast else 0.0,
        image_sha256=image_sha256,
        mask_sha256=mask_sha256,
    )


def _level_of_cells(checked: Sequence[CheckedPair]) -> tuple[Cells, int]:
    """The level of cells in masks that were read with white for them, and how many images agree: in transmitted light,
    cells are darker than the glass around. Raises UserError."""
    white = [one for one in checked if one.contrast <= -CLEARLY]
    black = [one for one in checked if one.contrast >= CLEARLY]
    if len(white) == len(black):
        raise UserError(
            f"{checked[0].pair.mask.parent}: whether cells are white or black in the masks is not known, for "
            "neither is the darker part of the images; say whether cells are `white` or `black`",
            "cells",
        )
    cells: Cells = "white" if len(white) > len(black) else "black"
    agreeing, others = (white, black) if cells == "white" else (black, white)
    refuse(
        [
            f"{one.pair.mask}: what is {cells} in it is the brighter part of its image, and in {len(agreeing)} other "
            "masks the darker one, as cells are; invert it, or say which level cells have."
            for one in others
        ]
    )
    return cells, len(agreeing)
