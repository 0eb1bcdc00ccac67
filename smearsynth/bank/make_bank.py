"""From the recipe's sources to the bank: cut, judge, bring to one scale, find duplicates, split.

What became of every cell: accepted per class, source and split, refused by reason, files left out.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import numpy as np

from smearsynth.bank.bank import Bank, build_bank
from smearsynth.bank.cell import Cell
from smearsynth.bank.clumps import with_clumps
from smearsynth.bank.cutting import Candidate, Work, cut_image
from smearsynth.bank.duplicates import SIDE, Pair, find_pairs, fingerprint, merge_groups
from smearsynth.bank.quality_gate import REASONS, refuse_size
from smearsynth.bank.rescaling import scale_of, to_40x
from smearsynth.bank.split import assert_no_leak, split_cells
from smearsynth.base.command_line import columns
from smearsynth.base.errors import UserError
from smearsynth.base.workers import Run, worker_pool
from smearsynth.recipe.model import Recipe
from smearsynth.sources.entry import Listing
from smearsynth.sources.listing import list_sources
from smearsynth.taxonomy import BY_KEY, CLASSES, PLATELET_CLUMP, SPLITS, THROMBOCYTE

SHOWN = 24
"""Refused cells kept per source, class and reason for the gallery; all are counted."""

Refusals = Counter[tuple[str, int, str]]


@dataclass(frozen=True, kw_only=True)
class Made:
    """The bank and how it came about.

    listings, um_per_px: per source name. refusals: (source, class id, reason) -> cells, unreadable files included.
    refused: some of those cells, at native scale. faults: a sentence per file that could not be read. pairs: the
    duplicates found, as rows of the bank.
    """

    bank: Bank
    listings: dict[str, Listing]
    um_per_px: dict[str, float]
    refusals: Refusals
    refused: tuple[Cell, ...]
    faults: tuple[str, ...]
    pairs: tuple[Pair, ...]


@dataclass
class _Refused:
    """Refused cells: all counted, some kept, so that the many that one image may give do not fill the memory."""

    counts: Refusals = field(default_factory=Counter)
    shown: list[Cell] = field(default_factory=list)

    def add(self, cell: Cell) -> None:
        kind = cell.source, cell.class_id, cell.reject
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN:
            self.shown.append(cell)


@dataclass(frozen=True, kw_only=True)
class Ready:
    """An accepted cell. rgba: u1 (h, w, 4) at 40x. look: its fingerprint for the search for duplicates."""

    cell: Cell
    rgba: np.ndarray
    look: np.ndarray


def make_bank(
    recipe: Recipe, *, listings: dict[str, Listing] | None = None, workers: int = 1, progress: bool = False
) -> Made:
    """The bank of a recipe, the same for any number of workers.

    listings: per source name, where the sources were listed before; None: they are listed here. progress: show bars
    on stderr. Raises UserError where a source can't be read as its layout says, a scale can't be found, a class is left
    without cells, or a class can't be split.
    """
    if listings is None:
        listings = list_sources(recipe)
    refused = _Refused()
    with worker_pool(workers, progress) as run:
        candidates, faults = _cut(recipe, listings, run, refused)
        scales = _scales(recipe, listings, candidates)
        ready = list(run(_finish, _of_right_size(recipe, candidates, scales, refused), "cells to 40x"))
    ready, pairs = _without_conflicts(ready, refused)
    _require_classes(recipe.scene.classes(), ready, refused.counts)
    groups = merge_groups([_group(r.cell) for r in ready], pairs)
    shares = (recipe.split.train, recipe.split.val, recipe.split.test)
    split = split_cells([r.cell.class_id for r in ready], groups, shares=shares, seed=recipe.seed)
    assert_no_leak(groups, split, pairs)
    cells = build_bank(
        [r.rgba for r in ready],
        [r.cell for r in ready],
        split=split,
        groups=groups,
        sources=tuple(listings),
    )
    clumps = recipe.cells.clumps
    return Made(
        bank=with_clumps(cells, size_range=clumps.size_range, per_thrombocyte=clumps.per_thrombocyte, seed=recipe.seed),
        listings=listings,
        um_per_px=scales,
        refusals=refused.counts,
        refused=tuple(refused.shown),
        faults=tuple(faults),
        pairs=pairs,
    )


def _cut(
    recipe: Recipe, listings: dict[str, Listing], run: Run, refused: _Refused
) -> tuple[dict[str, list[Candidate]], list[str]]:
    """The cells of every image of every source that are good at any scale, in the order of recipe and listing; a
    sentence per file that can't be read."""
    works = [
        Work(
            root=spec.root,
            source=spec.name,
            entries=tuple(entries),
            glass=listings[spec.name].facts.glass,
            gate=recipe.cells.gate,
        )
        for spec in recipe.sources
        for _, entries in groupby(listings[spec.name].entries, key=lambda entry: entry.path)
    ]
    candidates: dict[str, list[Candidate]] = {spec.name: [] for spec in recipe.sources}
    faults = []
    for work, cut in zip(works, run(cut_image, works, "images cut"), strict=True):
        for candidate in cut.candidates:
            if candidate.cell.reject:
                refused.add(candidate.cell)
            else:
                candidates[work.source].append(candidate)
        if cut.fault:
            refused.counts.update((work.source, BY_KEY[entry.class_key].id, cut.fault) for entry in work.entries)
            faults.append(f"{work.source}: {cut.sentence}")
    return candidates, faults


def _scales(recipe: Recipe, listings: dict[str, Listing], candidates: dict[str, list[Candidate]]) -> dict[str, float]:
    """Micrometres per pixel of each source; the recipe's word goes before the source's own."""
    scales = {}
    for spec in recipe.sources:
        facts = listings[spec.name].facts
        areas: dict[int, list[int]] = defaultdict(list)
        for candidate in candidates[spec.name]:
            areas[candidate.cell.class_id].append(candidate.found.area)
        classes = spec.calibrate.area if spec.calibrate else facts.calibrate
        stated = spec.um_per_px or (None if spec.calibrate else facts.um_per_px)
        scales[spec.name] = scale_of(spec.name, stated, classes, areas)
    return scales


def _of_right_size(
    recipe: Recipe, candidates: dict[str, list[Candidate]], scales: dict[str, float], refused: _Refused
) -> list[Cell]:
    """The cells that are good at their source's scale."""
    good = []
    for source, of_source in candidates.items():
        for candidate in of_source:
            reason = refuse_size(candidate.found, candidate.cell.class_id, recipe.cells.gate, scales[source])
            cell = replace(candidate.cell, reject=reason, um_per_px=scales[source])
            if reason:
                refused.add(cell)
            else:
                good.append(cell)
    return good


def _without_conflicts(ready: list[Ready], refused: _Refused) -> tuple[list[Ready], tuple[Pair, ...]]:
    """The cells less those saved under two classes, one of which must be wrong; the duplicates that are left."""
    looks = np.array([r.look for r in ready], np.uint16).reshape(-1, SIDE, SIDE)
    pairs = find_pairs(looks, [r.cell.sha256 for r in ready], [_group(r.cell) for r in ready])
    conflicts = {row for p in pairs if ready[p.a].cell.class_id != ready[p.b].cell.class_id for row in (p.a, p.b)}
    for row in sorted(conflicts):
        refused.add(replace(ready[row].cell, reject="two_classes"))
    kept = [row for row in range(len(ready)) if row not in conflicts]
    new_row = {row: number for number, row in enumerate(kept)}
    left = (replace(p, a=new_row[p.a], b=new_row[p.b]) for p in pairs if {p.a, p.b} <= new_row.keys())
    return [ready[row] for row in kept], tuple(left)


def _require_classes(needed: frozenset[int], ready: list[Ready], refusals: Refusals) -> None:
    present = {r.cell.class_id for r in ready}
    if THROMBOCYTE in present:
        present.add(PLATELET_CLUMP)
    faults = []
    for class_id in sorted(needed - present):
        counts = Counter({reason: n for (_, c, reason), n in sorted(refusals.items()) if c == class_id})
        why = ", ".join(f"{reason} {n}" for reason, n in counts.most_common()) or "none was found"
        faults.append(
            f"sources: no cell of {CLASSES[class_id].key} is good enough ({why}); look at the refused cells with "
            "`smearsynth cells RECIPE`, then add cells, widen `cells.gate`, or choose `scene.combinations` without it"
        )
    if faults:
        raise UserError("\n".join(faults))


def _finish(cell: Cell) -> Ready:
    assert cell.um_per_px is not None
    return Ready(cell=cell, rgba=to_40x(cell.image, cell.mask, cell.um_per_px), look=fingerprint(cell))


def _group(cell: Cell) -> str:
    return f"{cell.source}/{cell.group}"


RefusedCells = Mapping[tuple[str, int, str], int]
"""(source, class id, reason) -> cells."""
Refused = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Source -> class key -> reason -> cells."""


def count_cells(
    bank: Bank, *, refusals: RefusedCells, listings: Mapping[str, Listing], pairs: Sequence[Pair]
) -> dict[str, Any]:
    """Plain dicts for --json: `cells` class -> source -> split -> cells; `refused` source -> class -> reason -> cells;
    `left_out` source -> reason -> files; `duplicates`: pairs of cells from different groups that are one cell.
    """
    rows = Counter(zip(bank.class_id.tolist(), bank.source.tolist(), bank.split.tolist(), strict=True))
    cells: dict[str, dict[str, dict[str, int]]] = {}
    for class_id, source in sorted({(class_id, source) for class_id, source, _ in rows}):
        cells.setdefault(CLASSES[class_id].key, {})[bank.sources[source]] = {
            name: rows[class_id, source, split] for split, name in enumerate(SPLITS)
        }
    left_out = {name: dict(sorted(listing.left_out.items())) for name, listing in listings.items() if listing.left_out}
    return {"cells": cells, "refused": refused_cells(refusals), "left_out": left_out, "duplicates": len(pairs)}


def refused_cells(refusals: RefusedCells) -> dict[str, dict[str, dict[str, int]]]:
    """Source -> class key -> reason -> cells."""
    refused: dict[str, dict[str, dict[str, int]]] = {}
    for (name, class_id, reason), count in sorted(refusals.items()):
        refused.setdefault(name, {}).setdefault(CLASSES[class_id].key, {})[reason] = count
    return refused


def as_text(counts: dict[str, Any]) -> str:
    """The tables as a person reads them, from what `count_cells` returned."""
    accepted = [
        (key, source, *splits.values(), sum(splits.values()), sum(_refused(counts, source, key).values()))
        for key, sources in counts["cells"].items()
        for source, splits in sources.items()
    ]
    totals = ("total", "", *(sum(row[k] for row in accepted) for k in range(2, 7)))
    left_out = [
        (source, reason, count) for source, reasons in counts["left_out"].items() for reason, count in reasons.items()
    ]
    parts = [
        columns(("class", "source", *SPLITS, "cells", "refused"), [*accepted, totals], text=("class", "source")),
        columns(REFUSED, refusal_rows(counts["refused"]), text=REFUSED_TEXT),
        columns(("source", "left out because", "files"), left_out, text=("source", "left out because")),
    ]
    parts.append(f"duplicate pairs, each kept in one group: {counts['duplicates']}" if counts["duplicates"] else "")
    return "\n\n".join(part for part in parts if part)


REFUSED = ("source", "class", "refused", "cells", "because")
REFUSED_TEXT = ("source", "class", "refused", "because")


def refusal_rows(refused: Refused) -> list[tuple[str, str, str, int, str]]:
    """Rows under the head `REFUSED`, the most frequent reason of a source and class first."""
    return [
        (source, key, reason, count, REASONS.get(reason, "the file can't be used"))
        for source, classes in refused.items()
        for key, reasons in classes.items()
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]


def _refused(counts: dict[str, Any], source: str, key: str) -> dict[str, int]:
    return counts["refused"].get(source, {}).get(key, {})
