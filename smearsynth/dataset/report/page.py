"""What is shown on the page, section by section; how it is laid out is the template's."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smearsynth.cells.bank import Bank
from smearsynth.cells.counts import Refused, refusal_rows
from smearsynth.dataset import facts, layout
from smearsynth.dataset.claim import claim_of
from smearsynth.dataset.index import Index
from smearsynth.dataset.report.examples import read_examples
from smearsynth.dataset.report.gallery import gallery
from smearsynth.dataset.report.looks import parameters, swatches
from smearsynth.dataset.report.matrix import matrix
from smearsynth.dataset.report.plots import OF_BANK, PLACED, size_plots, smear_plots
from smearsynth.dataset.stats.figures import Measured, figures
from smearsynth.errors import UserError
from smearsynth.page import write_page
from smearsynth.recipe.combinations import BACKGROUNDS
from smearsynth.taxonomy import CLASSES, SPLITS

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
        "dataset/report/page.html",
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
