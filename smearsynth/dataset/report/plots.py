"""Distributions on the page: sizes against the taxonomy, and what a smear holds."""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from smearsynth.cells.bank import Bank
from smearsynth.dataset.stats.placed import STEPS, Placed
from smearsynth.dataset.stats.spread import Spread
from smearsynth.page import Curve, Mark, distribution
from smearsynth.taxonomy import CLASSES

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
