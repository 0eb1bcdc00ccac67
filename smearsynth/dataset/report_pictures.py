"""The pictures of a dataset's page: example smears with labels, cells of the bank, plots, and colours of the looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from smearsynth.bank.bank import Bank
from smearsynth.bank.cell_gallery import evenly, on_glass
from smearsynth.base.html_page import Inline, inline, inline_indexed
from smearsynth.base.plots import Curve, Mark, distribution
from smearsynth.dataset.contact_sheet import SMEARS, chosen, palette, shrunk
from smearsynth.dataset.distributions import STEPS, ColourSums, Distribution, ObjectDistributions, SampledColours
from smearsynth.dataset.index import combination
from smearsynth.dataset.index_schema import IndexSchema
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, CellClass

PLACED_COLOUR, BANK_COLOUR = "#5b3a8c", "#b45309"
_SIDE = 448
"""Longest side of an example, px: larger fields are shown smaller."""
_TILES = 7
"""Cells that are shown of a class and source."""
_SWATCHES = 48
"""Smears whose colours are shown of a look."""
_BINS = 256
_SMOOTH = 0.03
"""Twice the usual: of some classes there are few cells."""


@dataclass(frozen=True)
class ExampleSmear:
    """holds: its combination. image, label: of one size, the label in the colours of the taxonomy."""

    sample_id: str
    holds: str
    image: Inline
    label: Inline


def read_examples(folder: Path, index: IndexSchema) -> list[ExampleSmear]:
    """The first scenes of the first shard, in every look: the order of combinations mixes them."""
    reader, looks = ShardReader(folder / index.shards[0].name), len(index.looks)
    names, backgrounds = reader.column("sample_id"), reader.column("background")
    examples = []
    for scene in chosen(index.shards[0].scenes)[: -(-SMEARS // looks)]:
        for row in range(scene * looks, (scene + 1) * looks):
            image, label = (reader.read(name, row).view("u1") for name in ("image", "label"))
            name, holds = str(names[row]), combination(reader.objects(row)[:, 0], int(backgrounds[row]))
            shown_image = inline(shrunk(image, _SIDE), f"Smear {name}: {holds}")
            shown_label = inline_indexed(shrunk(label, _SIDE, cv2.INTER_NEAREST), palette(), f"Label of {name}")
            examples.append(ExampleSmear(name, holds, shown_image, shown_label))
    return examples


@dataclass(frozen=True)
class CellStrip:
    """cells: how many there are of a class and source; tiles: some of them, at 40x."""

    source: str
    cells: int
    tiles: list[Inline]


def gallery(bank: Bank) -> list[tuple[CellClass, list[CellStrip]]]:
    """Every class that has cells, and its strips."""
    pairs = sorted(set(zip(bank.class_id.tolist(), bank.source.tolist(), strict=True)))
    return [
        (CLASSES[class_id], [_strip(bank, class_id, source) for _, source in same])
        for class_id, same in groupby(pairs, key=lambda pair: pair[0])
    ]


def _strip(bank: Bank, class_id: int, source: int) -> CellStrip:
    rows = np.flatnonzero((bank.class_id == class_id) & (bank.source == source))
    about = f"{CLASSES[class_id].name} of {bank.sources[source]}"
    tiles = [inline(on_glass(bank, i), f"{about}: {bank.paths[i]}") for i in evenly(rows, _TILES).tolist()]
    return CellStrip(bank.sources[source], len(rows), tiles)


def size_plots(objects: ObjectDistributions, bank: Bank | None) -> list[Inline]:
    """Of each class that was met: areas of the cells as placed, and of those in the bank, with the taxonomy's mean."""
    plots = []
    for c in CLASSES[1:]:
        by_colour = {PLACED_COLOUR: objects.sizes[c.id]}
        if bank is not None:
            by_colour[BANK_COLOUR] = Distribution()
            by_colour[BANK_COLOUR].add(bank.area[bank.class_id == c.id])
        if objects.sizes[c.id].values.size:
            plots.append(_plot(by_colour, 1, f"{c.name}, area", "px", [Mark(c.area, f"taxonomy {c.area:,}")]))
    return plots


def smear_plots(objects: ObjectDistributions, pixels: int) -> list[Inline]:
    """Per smear of so many pixels: cells, and the area that they cover; of each cell, how much shows."""
    visible = Distribution()
    for of_class in objects.visible:
        visible.add_all(of_class)
    shown = [
        (objects.objects, 1, "Cells in a smear", "cells"),
        (objects.covered, pixels / 100, "Area of a smear that cells cover", "%"),
        (visible, STEPS / 100, "Share of a cell that shows", "%"),
    ]
    return [_plot({PLACED_COLOUR: one}, unit, title, of) for one, unit, title, of in shown if one.values.size]


def _plot(
    by_colour: Mapping[str, Distribution], unit: float, title: str, of: str, marks: list[Mark] | None = None
) -> Inline:
    """One curve per colour, the first filled. Values are whole numbers and shown in `unit`s, as are the marks."""
    marks = marks or []
    values = np.concatenate([*(one.values for one in by_colour.values()), [round(m.x * unit) for m in marks]])
    # Half a bin more than one at either end, so that a mark at the very end is within the centres of bins.
    spare = 1.5 + (values.max() - values.min()) // _BINS
    low, high = values.min() - spare, values.max() + spare
    bins = min(int(high - low), _BINS)
    points = (low + (np.arange(bins) + 0.5) * (high - low) / bins) / unit
    shown = [
        Curve(np.histogram(one.values, bins, (low, high), weights=one.counts)[0], colour, filled=number == 0)
        for number, (colour, one) in enumerate(by_colour.items())
        if one.values.size
    ]
    return distribution(points, shown, title=title, unit=of, marks=marks, smooth=_SMOOTH)


def swatches(colours: SampledColours, look: str) -> list[tuple[str, str]]:
    """Mean colours of glass and of cells of some smears, from the darkest to the brightest glass."""
    pairs = zip(colours.glass[look], colours.cells[look], strict=True)
    both = [pair for pair in pairs if all(sums.pixels for sums in pair)]
    both.sort(key=lambda pair: float(pair[0].values.sum() / pair[0].pixels))
    taken = np.linspace(0, len(both) - 1, min(len(both), _SWATCHES)).astype(int)
    return [(_hex(both[i][0]), _hex(both[i][1])) for i in taken]


def _hex(sums: ColourSums) -> str:
    return "#" + bytes(np.rint(sums.values / sums.pixels).astype(np.uint8)).hex()
