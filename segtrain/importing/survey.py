"""Reads every pair once, before anything is written: what is wrong with it, and what must be known of all of them.

What is known of all pairs together, or every fault of them at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from segtrain.importing.colour_masks import ColourReader
from segtrain.importing.image_mask_pairs import Pair, find_pairs
from segtrain.importing.import_splits import (
    SplitRule,
    divided_groups,
    read_groups,
    read_rule,
    split_as_told,
    split_by_shares,
    with_copies,
)
from segtrain.importing.mask_reading import Reader, Reading
from segtrain.importing.palettes import Palette
from segtrain.importing.patches import Size
from segtrain.importing.value_masks import Cells, LevelReader, ValueReader, brightness_of_cells, judge
from smearsynth.base.errors import UserError
from smearsynth.base.images import Pixels, decode_image, decode_mask, read_bytes, sha256_of
from smearsynth.base.workers import in_order
from smearsynth.fields.field_folder import turned_apart


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """What is known of a pair. faults: sentences; where there are some, the rest says nothing.

    size: of the image. pixels: i8 (256,), how many have each label. near, interpolated: as of a `Reading`.
    brightness: of what was taken for cells, over that of the rest, where it was asked for.
    """

    pair: Pair
    size: Size = (0, 0)
    pixels: npt.NDArray[np.int64]
    near: int = 0
    interpolated: bool = False
    brightness: float = 0.0
    image_sha256: str = ""
    mask_sha256: str = ""
    faults: tuple[str, ...] = ()


def reader_of(palette: Palette, cells: Cells) -> Reader:
    """What reads masks of this form. cells: the level of cells, where masks have two."""
    if palette.form == "levels":
        return LevelReader(cells)
    return ColourReader(palette) if palette.form == "colours" else ValueReader(palette)


def survey(pairs: Sequence[Pair], reader: Reader, *, ask_brightness: bool) -> Iterator[Surveyed]:
    """The pairs in their order."""
    return in_order(partial(_survey, reader=reader, ask_brightness=ask_brightness), pairs)


def read_image(pair: Pair) -> tuple[Pixels, str]:
    """u1 (h, w, 3) RGB, and the sha256 of the file. Raises UserError."""
    data = read_bytes(pair.image)
    return decode_image(data, str(pair.image)), sha256_of(data)


def read_label(pair: Pair, reader: Reader) -> tuple[Reading, str]:
    """The mask, and the sha256 of its file. Raises UserError where it cannot be decoded."""
    data = read_bytes(pair.mask)
    return reader.read(decode_mask(data, str(pair.mask))), sha256_of(data)


def _survey(pair: Pair, *, reader: Reader, ask_brightness: bool) -> Surveyed:
    faults, pixels = [], np.zeros(256, np.int64)
    try:
        image, image_sha256 = read_image(pair)
    except UserError as error:
        faults.append(str(error))
    try:
        reading, mask_sha256 = read_label(pair, reader)
        faults += [f"{pair.mask}: {fault}." for fault in reading.faults]
    except UserError as error:
        faults.append(str(error))
    if faults:
        return Surveyed(pair=pair, pixels=pixels, faults=tuple(faults))
    label = reading.label
    if fault := turned_apart(pair.image, pair.mask):
        return Surveyed(pair=pair, pixels=pixels, faults=(fault,))
    if label.shape != image.shape[:2]:
        fault = f"{pair.mask}: the mask is {_size(label)} px, its image {pair.name} {_size(image)}; give that image's."
        return Surveyed(pair=pair, pixels=pixels, faults=(fault,))
    return Surveyed(
        pair=pair,
        size=label.shape,
        pixels=np.bincount(label.ravel(), minlength=256),
        near=reading.near,
        interpolated=reading.interpolated,
        brightness=brightness_of_cells(image, label) if ask_brightness else 0.0,
        image_sha256=image_sha256,
        mask_sha256=mask_sha256,
    )


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


_SHOWN = 100
"""Faults that are told."""


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """surveyed: the pairs by name. splits, groups: of each. reader: of their masks. cells: their level, where masks
    have two. found: how it was found, "" where it was given."""

    surveyed: tuple[Surveyed, ...]
    splits: tuple[str, ...]
    groups: tuple[str, ...]
    rule: SplitRule
    reader: Reader
    cells: Cells | None
    found: str


def gather(
    images: Path,
    masks: Path,
    palette: Palette,
    *,
    cells: Cells | None,
    split: str | None,
    group: str | None,
    seed: int,
    progress: bool,
) -> Gathered:
    """Reads all pairs. Raises UserError with every fault: of names, of files, of splits and groups."""
    pairs, faults = find_pairs(images, masks)
    names = [pair.name for pair in pairs]
    rule = read_rule(split, names)
    groups, more = read_groups(group, names)
    faults += more
    splits: list[str] = []
    if not rule.shares:
        splits, more = split_as_told(rule, names)
        faults += [*more, *divided_groups(groups, splits)]
    ask = palette.form == "levels" and cells is None
    surveyed = _surveyed(pairs, reader_of(palette, cells or "white"), ask_brightness=ask, progress=progress)
    refuse([*faults, *(fault for one in surveyed for fault in one.faults)])
    found = ""
    if ask:
        cells, found = _level_of_cells(surveyed)
        if cells == "black":
            surveyed = [replace(one, pixels=one.pixels[[1, 0, *range(2, 256)]]) for one in surveyed]
    _refuse_one_class(surveyed, palette)
    groups = with_copies(groups, [one.image_sha256 for one in surveyed])
    if rule.shares:
        splits = split_by_shares(groups, rule.shares, seed=seed)
    return Gathered(
        surveyed=tuple(surveyed),
        splits=tuple(splits),
        groups=tuple(groups),
        rule=rule,
        reader=reader_of(palette, cells or "white"),
        cells=cells,
        found=found,
    )


def refuse(faults: Sequence[str]) -> None:
    """UserError that tells all faults, a line each, where there are some."""
    if faults:
        more = [f"... and {len(faults) - _SHOWN} faults more."] if len(faults) > _SHOWN else []
        raise UserError("\n".join([*faults[:_SHOWN], *more]))


def _surveyed(pairs: Sequence[Pair], reader: Reader, *, ask_brightness: bool, progress: bool) -> list[Surveyed]:
    found = []
    with tqdm(total=len(pairs), unit=" pairs", desc="read", leave=False, disable=None if progress else True) as bar:
        for one in survey(pairs, reader, ask_brightness=ask_brightness):
            found.append(one)
            bar.update()
    return found


def _level_of_cells(surveyed: Sequence[Surveyed]) -> tuple[Cells, str]:
    """The level of cells in masks that were read with white for them, and how it was found. Raises UserError."""
    found = judge({str(one.pair.mask): one.brightness for one in surveyed})
    if found.cells is None:
        raise UserError(
            f"{surveyed[0].pair.mask.parent}: whether cells are white or black in the masks cannot be told, for "
            "neither is the darker part of the images; give --cells white or --cells black."
        )
    refuse(
        [
            f"{name}: what is {found.cells} in it is the brighter part of its image, and in {found.agreeing} other "
            "masks the darker one, as cells are; invert it, or give --cells."
            for name in found.others
        ]
    )
    return found.cells, f"cells are {found.cells} in the masks, for they are the darker part of {found.agreeing} images"


def _refuse_one_class(surveyed: Sequence[Surveyed], palette: Palette) -> None:
    keys = palette.classes.keys
    found = [key for number, key in enumerate(keys) if any(one.pixels[number] for one in surveyed)]
    if len(found) < 2:
        raise UserError(
            f"{surveyed[0].pair.mask.parent}: all masks together have one class, {found[0] if found else 'none'}; give "
            "the --palette that they were painted in."
        )
