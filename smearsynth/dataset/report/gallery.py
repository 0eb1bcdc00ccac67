"""Cells of the bank on the page, class by class and source by source."""

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from smearsynth.cells.bank import Bank
from smearsynth.cells.gallery import evenly, on_glass
from smearsynth.page import Inline, inline
from smearsynth.taxonomy import CLASSES, CellClass

_SHOWN = 7


@dataclass(frozen=True)
class Strip:
    """cells: how many there are of the class and source; tiles: some of them, at 40x."""

    source: str
    cells: int
    tiles: list[Inline]


def gallery(bank: Bank) -> list[tuple[CellClass, list[Strip]]]:
    """Every class that has cells, and its strips."""
    pairs = sorted(set(zip(bank.class_id.tolist(), bank.source.tolist(), strict=True)))
    return [
        (CLASSES[class_id], [_strip(bank, class_id, source) for _, source in same])
        for class_id, same in groupby(pairs, key=lambda pair: pair[0])
    ]


def _strip(bank: Bank, class_id: int, source: int) -> Strip:
    rows = np.flatnonzero((bank.class_id == class_id) & (bank.source == source))
    about = f"{CLASSES[class_id].name} of {bank.sources[source]}"
    tiles = [inline(on_glass(bank, i), f"{about}: {bank.paths[i]}") for i in evenly(rows, _SHOWN).tolist()]
    return Strip(bank.sources[source], len(rows), tiles)
