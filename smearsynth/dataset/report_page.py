"""Which combinations were met how often: foregrounds by backgrounds of red cells.

Distributions on the page: sizes against the taxonomy, and what a smear holds.

What is shown on the page, section by section; how it is laid out is the template's.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from smearsynth.bank.bank import Bank
from smearsynth.bank.make_bank import Refused, refusal_rows
from smearsynth.base.errors import UserError
from smearsynth.base.html_page import write_page
from smearsynth.base.svg_plots import Curve, Mark, distribution
from smearsynth.dataset import facts, layout
from smearsynth.dataset.distributions import STEPS, Placed, Spread
from smearsynth.dataset.index import Index, claim_of
from smearsynth.dataset.report_pictures import gallery, parameters, read_examples, swatches
from smearsynth.dataset.statistics import Measured, figures
from smearsynth.recipe.scene_options import BACKGROUNDS, COMBINATIONS, Combination
from smearsynth.taxonomy import BY_KEY, CLASSES, SPLITS


@dataclass(frozen=True)
class Met:
    """How often a combination was met. shade: 0 to 1, of the one that was met most. by_split: in words."""

    times: int
    shade: float
    by_split: str


@dataclass(frozen=True)
class Row:
    """A foreground, and how often it was met on each of BACKGROUNDS."""

    name: str
    met: tuple[Met, ...]


def matrix(by_split: Mapping[str, Mapping[str, int]]) -> tuple[list[Row], int]:
    """by_split: combinations of each split, name -> samples. All 36 foregrounds; and in how many smears something else
    lies.

    A field larger than 224x224 px holds a foreground several times over; it counts where its classes stand once.
    """
    counts = {split: Counter[str]() for split in by_split}
    for split, met in by_split.items():
        for name, times in met.items():
            counts[split][_folded(name)] += times
    whole = sum(counts.values(), Counter[str]())
    most = max([whole[name] for name in COMBINATIONS] + [1])
    foregrounds = dict.fromkeys(c.foreground for c in COMBINATIONS.values())
    rows = [
        Row(
            " + ".join(CLASSES[c].name for c in foreground) or "none",
            tuple(
                Met(
                    whole[name],
                    whole[name] / most,
                    ", ".join(f"{split} {n[name]:,}" for split, n in counts.items()),
                )
                for name in (Combination(foreground, background).name for background in BACKGROUNDS)
            ),
        )
        for foreground in foregrounds
    ]
    return rows, sum(times for name, times in whole.items() if name not in COMBINATIONS)


def _folded(name: str) -> str:
    """The combination with each of its classes once, where it is none of the 108."""
    foreground, _, background = name.rpartition("/")
    ids = {BY_KEY[key].id for key in foreground.split("+") if key in BY_KEY}
    folded = Combination(tuple(sorted(ids)), background)
    return name if name in COMBINATIONS or background not in BACKGROUNDS else folded.name


PLACED, OF_BANK = "#5b3a8c", "#b45309"
_BINS = 512
_SMOOTH = 0.03
"""Twice the usual: of some classes there are few cells."""


def size_plots(placed: Placed, bank: Bank | None) -> list[Markup]:
    """Of each class that was met: areas of the cells as placed, and of those in the bank, with the taxonomy's mean."""
    plots = []
    for c in CLASSES[1:]:
        spreads = {PLACED: placed.sizes[c.id]}
        if bank is not None:
            spreads[OF_BANK] = Spread()
            spreads[OF_BANK].add(bank.area[bank.class_id == c.id])
        if placed.sizes[c.id].values.size:
            plots.append(_plot(spreads, 1, f"{c.name}, area", "px", Mark(c.area, f"taxonomy {c.area:,}")))
    return plots


def smear_plots(placed: Placed, pixels: int) -> list[Markup]:
    """Per smear of so many pixels: cells, and the area that they cover; of each cell, how much shows."""
    visible = Spread()
    for of_class in placed.visible:
        visible.add_all(of_class)
    shown = [
        (placed.objects, 1, "Cells in a smear", "cells"),
        (placed.covered, pixels / 100, "Area of a smear that cells cover", "%"),
        (visible, STEPS / 100, "Share of a cell that shows", "%"),
    ]
    return [_plot({PLACED: spread}, unit, title, of) for spread, unit, title, of in shown if spread.values.size]


def _plot(spreads: Mapping[str, Spread], unit: float, title: str, of: str, mark: Mark | None = None) -> Markup:
    """One curve per colour, the first filled. Values are whole numbers and shown in `unit`s, as is the mark's place."""
    marks = [] if mark is None else [mark]
    values = np.concatenate([*(spread.values for spread in spreads.values()), [round(m.x * unit) for m in marks]])
    # Room for a bin at either end, so that a mark at the very end lies within the centres of bins.
    spare = 1.5 + (values.max() - values.min()) // _BINS
    low, high = values.min() - spare, values.max() + spare
    bins = min(int(high - low), _BINS)
    points = (low + (np.arange(bins) + 0.5) * (high - low) / bins) / unit
    curves = [
        Curve(np.histogram(spread.values, bins, (low, high), weights=spread.counts)[0], colour, filled=number == 0)
        for number, (colour, spread) in enumerate(spreads.items())
        if spread.values.size
    ]
    return distribution(points, curves, title=title, unit=of, marks=marks, smooth=_SMOOTH)


_SOURCES = ("#5b3a8c", "#d97706", "#0f766e", "#be185d", "#1d4ed8", "#65a30d", "#7c2d12", "#475569")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a set tells beside its figures: its index, its recipe, both as plain data, and the bank, if it is there."""

    index: Index
    recipe: Mapping[str, Any]
    resolved: str
    bank: Bank | None


def write_report(path: Path, measured: Measured, told: Told) -> None:
    """Raises UserError where the index does not tell what every build writes into it."""
    stated, placed, bank = measured.stated, measured.placed, told.bank
    found = figures(measured)
    rows, others = matrix({split: found.splits[split]["combinations"] for split in SPLITS})
    write_page(
        path,
        "dataset/report.html",
        stats=found,
        words=_words(told.index),
        classes=CLASSES,
        splits=SPLITS,
        balance=_balance(found.splits),
        backgrounds=BACKGROUNDS,
        combinations=rows,
        other_combinations=others,
        sizes=size_plots(placed, bank),
        per_smear=smear_plots(placed, stated.size[0] * stated.size[1]),
        plot_colours={"placed": PLACED, "bank": OF_BANK},
        gallery=None if bank is None else gallery(bank),
        groups=None if bank is None else _groups(bank),
        examples=read_examples(measured.folder, stated),
        sources=_by_source(found.splits, told.index),
        reasons=_reasons(found.refused),
        refusals=[(source, key, because, f"{n:,}") for source, key, _, n, because in refusal_rows(found.refused)],
        looks=parameters(told.recipe),
        swatches=swatches(measured.sampled),
        stated=stated,
        bank_file=layout.BANK,
        resolved=told.resolved,
    )


def _words(index: Index) -> dict[str, Any]:
    """The sentences that the card tells too."""
    try:
        return {
            "summary": facts.summary(index),
            "warning": facts.warning(index),
            "labels": facts.labels(index),
            "limits": facts.limits(index),
            "known_sources": facts.known_sources(index),
            "origin": facts.origin(index),
            "grouping": [facts.grouping(source) for source in facts.known_sources(index)],
            "works": facts.works(index),
            "citation": facts.citation(index),
            "rebuilding": facts.rebuilding(index),
            "claim": claim_of(index),
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{layout.INDEX} does not tell what this smearsynth writes into an index ({error!r}): report with the one "
            "that made the set, or fetch it again."
        ) from error


def _balance(splits: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per class, over all splits and in each: pixels and objects with their shares."""
    parts = {"all": splits.values(), **{split: [splits[split]] for split in SPLITS}}
    sums = {
        (name, kind): {c.key: sum(part[kind].get(c.key, 0) for part in of) for c in CLASSES}
        for name, of in parts.items()
        for kind in ("pixels", "objects")
    }
    shares = {at: {key: n / max(sum(counts.values()), 1) for key, n in counts.items()} for at, counts in sums.items()}
    widest = {kind: max(shares["all", kind][c.key] for c in CLASSES[1:]) or 1 for kind in ("pixels", "objects")}
    return [
        {
            "cls": c,
            "bars": {kind: min(shares["all", kind][c.key] / widest[kind], 1) for kind in widest},
            **{name: {kind: (sums[name, kind][c.key], shares[name, kind][c.key]) for kind in widest} for name in parts},
        }
        for c in CLASSES
    ]


def _by_source(splits: Mapping[str, Mapping[str, Any]], index: Index) -> dict[str, Any]:
    """Colour of each source; per class: share of its objects from each, and counts by split."""
    names = [source["name"] for source in index["sources"]]
    rows = []
    for c in CLASSES[1:]:
        objects = {name: sum(splits[s]["class_by_source"][c.key].get(name, 0) for s in SPLITS) for name in names}
        cells = {name: [splits[s]["cells"][c.key].get(name, 0) for s in SPLITS] for name in names}
        whole = sum(objects.values())
        if whole or any(map(sum, cells.values())):
            unused = [splits[s]["unused"][c.key] for s in SPLITS]
            shares = {name: n / max(whole, 1) for name, n in objects.items()}
            rows.append({"cls": c, "objects": objects, "shares": shares, "cells": cells, "unused": unused})
    return {"colours": {name: _SOURCES[i % len(_SOURCES)] for i, name in enumerate(names)}, "rows": rows}


def _groups(bank: Bank) -> list[list[Any]]:
    """Per source: cells and groups in each split."""
    groups = np.array(bank.groups)
    rows = []
    for number, name in enumerate(bank.sources):
        mine = [(bank.source == number) & (bank.split == split) for split in range(len(SPLITS))]
        rows.append([name, *(f"{of.sum():,}" for of in mine), *(f"{len(set(groups[of])):,}" for of in mine)])
    return rows


def _reasons(refused: Refused) -> list[tuple[str, int, float]]:
    """Reasons in words, cells refused for each, and their share of the most frequent one's."""
    counts: Counter[str] = Counter()
    for *_, cells, because in refusal_rows(refused):
        counts[because] += cells
    return [(because, cells, cells / max(counts.values())) for because, cells in counts.most_common()]
