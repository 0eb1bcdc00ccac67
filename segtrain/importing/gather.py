"""What is known of all pairs together, or every fault of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from segtrain.importing.groups import read_groups, with_copies
from segtrain.importing.levels import Cells
from segtrain.importing.pairs import Pair, find_pairs
from segtrain.importing.palette import Palette
from segtrain.importing.polarity import judge
from segtrain.importing.reading import Reader
from segtrain.importing.split import SplitRule, divided_groups, read_rule, split_as_told, split_by_shares
from segtrain.importing.survey import Surveyed, reader_of, survey
from smearsynth.errors import UserError

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
