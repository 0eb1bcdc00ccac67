"""From the recipe's sources to the bank: list, cut, judge, one scale, duplicates, split, clumps, grafts.

All that reads pixels of a source runs in worker processes and in any order; what decides anything runs here and in the
order of recipe and listing, so the bank is the same for any number of workers. What became of every cell is counted:
accepted per class, source and split, refused by reason, files left out.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank, Rgba, lay_end_to_end
from smearsynth.bank.clumps import with_clumps
from smearsynth.bank.cutting import CutCell, ImageJob, cut_image
from smearsynth.bank.duplicates import SIDE, DuplicatePair, find_pairs, fingerprint
from smearsynth.bank.grafts import with_grafts
from smearsynth.bank.quality_gate import Refusals, judge_size
from smearsynth.bank.rescaling import calibration, source_scale, to_40x
from smearsynth.bank.split import assert_no_leak, split_cells
from smearsynth.base.errors import UserError
from smearsynth.base.linked_groups import merge_groups
from smearsynth.base.workers import map_in_processes
from smearsynth.recipe.cell_options import GateSpec
from smearsynth.recipe.model import Recipe
from smearsynth.sources.entry import Entry, Listing
from smearsynth.sources.listing import list_sources
from smearsynth.taxonomy import CLASSES, PLATELET_CLUMP, THROMBOCYTE, UM_PER_PX

_SHOWN = 24
"""Refused cells kept per source, class and reason for the gallery; all are counted."""


@dataclass(frozen=True, kw_only=True)
class MadeBank:
    """The bank and how it came about.

    listings, um_per_px: per source name. refusals: unreadable files included. refused: some of those cells, at their
    source's scale. errors: a sentence per file that could not be read. pairs: the duplicates found, as rows of the
    bank.
    """

    bank: Bank
    listings: dict[str, Listing]
    um_per_px: dict[str, float]
    refusals: Refusals
    refused: tuple[CutCell, ...]
    errors: tuple[str, ...]
    pairs: tuple[DuplicatePair, ...]


@dataclass(frozen=True, kw_only=True)
class _ScaledCell:
    """An accepted cell, its pixels at 40x, and its fingerprint for the search for duplicates."""

    cell: CutCell
    rgba: Rgba
    fingerprint: npt.NDArray[np.uint16]

    @property
    def group(self) -> str:
        return f"{self.cell.source}/{self.cell.group}"


@dataclass
class _Refused:
    """Refused cells: all counted, some kept, so that the many that one image may give do not fill the memory."""

    counts: Refusals = field(default_factory=Counter)
    shown: list[CutCell] = field(default_factory=list)

    def add(self, cell: CutCell) -> None:
        kind = cell.source, cell.class_id, cell.reject
        self.counts[kind] += 1
        if self.counts[kind] <= _SHOWN:
            self.shown.append(cell)


def make_bank(
    recipe: Recipe, *, listings: dict[str, Listing] | None = None, workers: int = 1, progress: bool = False
) -> MadeBank:
    """The bank of a recipe, the same for any number of workers.

    listings: per source name, where the sources were listed before; None: they are listed here. progress: show bars
    on stderr. Raises UserError where a source can't be read as its layout says, a scale can't be found, a class is left
    without cells, or a class can't be split.
    """
    if listings is None:
        listings = list_sources(recipe)
    refused = _Refused()
    cut, errors = _cut(recipe, listings, refused, workers, "cut cells" if progress else None)
    scales = {spec.name: source_scale(spec, listings[spec.name].facts, cut[spec.name]) for spec in recipe.sources}
    sized = _judge_sizes(cut, scales, recipe.cells.gate, refused)
    bar = "bring to 40x" if progress else None
    cells = list(map_in_processes(_at_40x, sized, workers=workers, bar=bar, unit="cells"))
    cells, pairs = _without_conflicts(cells, refused)
    _require_classes(recipe.scene.classes(), cells, refused.counts)
    groups = merge_groups([c.group for c in cells], [(p.a, p.b) for p in pairs])
    shares = recipe.split.train, recipe.split.val, recipe.split.test
    split = split_cells([c.cell.class_id for c in cells], groups, shares=shares, seed=recipe.seed)
    assert_no_leak(groups, split, pairs)
    bank = _bank_of(cells, split, groups, tuple(listings))
    clumps = recipe.cells.clumps
    bank = with_clumps(bank, size_range=clumps.size_range, per_thrombocyte=clumps.per_thrombocyte, seed=recipe.seed)
    if recipe.cells.grafts:
        bar = "make infected cells and look-alikes" if progress else None
        bank = with_grafts(bank, recipe.cells.grafts, recipe.seed, workers=workers, bar=bar)
    return MadeBank(
        bank=bank,
        listings=listings,
        um_per_px=scales,
        refusals=refused.counts,
        refused=tuple(refused.shown),
        errors=tuple(errors),
        pairs=pairs,
    )


def _cut(
    recipe: Recipe, listings: dict[str, Listing], refused: _Refused, workers: int, bar: str | None
) -> tuple[dict[str, list[CutCell]], list[str]]:
    """The cells of every image that are good at any scale, by source in the order of recipe and listing; a sentence
    per file that can't be read."""
    jobs = [
        ImageJob(
            root=spec.root,
            source=spec.name,
            entries=tuple(entries),
            glass=listings[spec.name].facts.glass,
            gate=recipe.cells.gate,
            page=spec.page,
        )
        for spec in recipe.sources
        for _, entries in groupby(listings[spec.name].entries, key=lambda entry: entry.path)
    ]
    good: dict[str, list[CutCell]] = {spec.name: [] for spec in recipe.sources}
    errors = []
    images = map_in_processes(cut_image, jobs, workers=workers, bar=bar, unit="images")
    for job, image in zip(jobs, images, strict=True):
        for cell in image.cells:
            if cell.reject:
                refused.add(cell)
            else:
                good[job.source].append(cell)
        if image.reason:
            refused.counts.update(
                (job.source, entry.class_id, image.reason) for entry in job.entries if entry.class_key
            )
            errors.append(f"{job.source}: {image.error}")
    return good, errors


def estimate_scales(recipe: Recipe, listings: dict[str, Listing], *, images: int, workers: int) -> dict[str, float]:
    """Micrometres per pixel by source name; of sources that do not state it, by the cells of so many images, evenly
    taken. Those that show too few good cells there are left out. Says on stderr how far it is."""
    stated = {spec.name: calibration(spec, listings[spec.name].facts)[1] for spec in recipe.sources}
    some = {
        name: replace(listing, entries=() if stated[name] else _evenly(listing.entries, images))
        for name, listing in listings.items()
    }
    cut, _ = _cut(recipe, some, _Refused(), workers, "find scales")
    scales = {}
    for spec in recipe.sources:
        with suppress(UserError):
            scales[spec.name] = source_scale(spec, listings[spec.name].facts, cut[spec.name])
    return scales


def _evenly(entries: tuple[Entry, ...], images: int) -> tuple[Entry, ...]:
    """Those of so many images."""
    paths = list(dict.fromkeys(entry.path for entry in entries))
    kept = {paths[i] for i in np.linspace(0, len(paths) - 1, min(len(paths), images)).astype(int)}
    return tuple(entry for entry in entries if entry.path in kept)


def _judge_sizes(
    cut: dict[str, list[CutCell]], scales: dict[str, float], gate: GateSpec, refused: _Refused
) -> list[CutCell]:
    """The cells that are good at their source's scale."""
    good = []
    for source, cells in cut.items():
        for cell in cells:
            um_per_px = cell.um_per_px or scales[source]
            reason = judge_size(cell.measures, cell.class_id, gate, um_per_px, cell.name)
            cell = replace(cell, reject=reason, um_per_px=um_per_px)
            if reason:
                refused.add(cell)
            else:
                good.append(cell)
    return good


def _at_40x(cell: CutCell) -> _ScaledCell:
    assert cell.um_per_px is not None
    rgba = to_40x(cell.image, cell.mask, cell.um_per_px)
    return _ScaledCell(cell=cell, rgba=rgba, fingerprint=fingerprint(cell.image, cell.mask))


def _without_conflicts(
    cells: list[_ScaledCell], refused: _Refused
) -> tuple[list[_ScaledCell], tuple[DuplicatePair, ...]]:
    """The cells less those saved under two classes, one of which must be wrong; the duplicates that are left."""
    fingerprints = np.array([c.fingerprint for c in cells], np.uint16).reshape(-1, SIDE, SIDE)
    pairs = find_pairs(fingerprints, [c.cell.sha256 for c in cells], [c.group for c in cells])
    conflicts = {row for p in pairs if cells[p.a].cell.class_id != cells[p.b].cell.class_id for row in (p.a, p.b)}
    for row in sorted(conflicts):
        refused.add(replace(cells[row].cell, reject="two_classes"))
    kept = [row for row in range(len(cells)) if row not in conflicts]
    new_row = {row: number for number, row in enumerate(kept)}
    left = (replace(p, a=new_row[p.a], b=new_row[p.b]) for p in pairs if {p.a, p.b} <= new_row.keys())
    return [cells[row] for row in kept], tuple(left)


def _require_classes(needed: frozenset[int], cells: list[_ScaledCell], refusals: Refusals) -> None:
    """Raises UserError where the recipe's scenes need a class of which no cell is left."""
    present = {c.cell.class_id for c in cells}
    if THROMBOCYTE in present:
        present.add(PLATELET_CLUMP)  # assembled where no source has any
    errors = []
    for class_id in sorted(needed - present):
        counts = Counter({reason: n for (_, c, reason), n in sorted(refusals.items()) if c == class_id})
        why = ", ".join(f"{reason} {n}" for reason, n in counts.most_common()) or "none was found"
        errors.append(
            f"sources: no cell of {CLASSES[class_id].key} is good enough ({why}); look at the refused cells with "
            "`smearsynth cells RECIPE`, then add cells, widen `cells.gate`, or choose `scene.combinations` without it"
        )
    if errors:
        raise UserError("\n".join(errors))


def _bank_of(
    cells: list[_ScaledCell], split: npt.NDArray[np.uint8], groups: tuple[str, ...], sources: tuple[str, ...]
) -> Bank:
    """groups: "source/group" of each cell, after those of duplicates were merged."""
    cut = [c.cell for c in cells]
    return Bank(
        **lay_end_to_end([c.rgba for c in cells], start=0),
        class_id=np.array([c.class_id for c in cut], np.uint8),
        split=split,
        source=np.array([sources.index(c.source) for c in cut], np.uint8),
        glass=np.array([c.glass for c in cut], np.uint8).reshape(-1, 3),
        glass_measured=np.array([c.glass_measured for c in cut], np.uint8),
        scale=np.array([(c.um_per_px or 0) / UM_PER_PX for c in cut], np.float32),
        groups=groups,
        paths=tuple(c.path for c in cut),
        sha256=tuple(c.sha256 for c in cut),
        parts=("",) * len(cut),
        sources=sources,
    )
