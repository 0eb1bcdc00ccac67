"""Which cells the stain of a kind is fitted on. A kind is the cells of one source and class.

Red cells and stained cells (white cells and platelets) have a reference each: the source with most of their cells whose
glass was measured. A kind is fitted to the reference's cells of its class. Infected cells take what the healthy ones of
their source take, else the fit would bleach parasites. Where either side has too few, all of the source's stained
classes that the reference has too are fitted together, each with the same weight: a camera is one for all of its cells.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, INFECTED_RBC, RED_CELLS

_FEWEST = 8
"""Cells of a kind below which its own fit would be that of single cells."""
_WEIGHT = 1 << 16

Rows = npt.NDArray[np.int64]


class Fit(NamedTuple):
    """What a kind is fitted on: rows of the bank and their weights, of the source and of the reference.

    own: the rows are of the kind itself, so a cell may be drawn to their centre.
    """

    source: Rows
    source_weight: Rows
    reference: Rows
    reference_weight: Rows
    own: bool


def is_red(bank: Bank) -> npt.NDArray[np.bool_]:
    """b1 (n,)."""
    return np.isin(bank.class_id, RED_CELLS)


def reference(bank: Bank, among: npt.NDArray[np.bool_]) -> int:
    """The number of the source with most cells of known glass; among equals, of any glass; then the first."""
    known = np.bincount(bank.source[among & (bank.glass_measured == 1)], minlength=len(bank.sources))
    every = np.bincount(bank.source[among], minlength=len(bank.sources))
    return int(np.lexsort((-np.arange(len(bank.sources)), every, known))[-1])


def kin(bank: Bank, source: int, class_id: int, to: int) -> Fit:
    """The cells that the kind is fitted on; to: the number of the reference."""

    def rows(of: int, classes: tuple[int, ...]) -> Rows:
        return np.flatnonzero((bank.source == of) & np.isin(bank.class_id, classes))

    red = class_id in RED_CELLS
    own: tuple[int, ...] = (HEALTHY_RBC,) if red else (class_id,)
    group = (INFECTED_RBC, HEALTHY_RBC) if red else tuple(c.id for c in CLASSES[1:] if c.id not in RED_CELLS)
    enough = {c: min(len(rows(source, (c,))), len(rows(to, (c,)))) >= _FEWEST for c in group}
    if red and not enough[HEALTHY_RBC]:
        own = group
    if red or enough[class_id]:
        return _fit(bank, rows(source, own), rows(to, own), True)
    shared = tuple(c for c in group if enough[c])
    if shared and source != to:
        return _fit(bank, rows(source, shared), rows(to, shared), False)
    return _fit(bank, rows(source, own), rows(source, own), True)


def mean(values: Rows, weight: Rows) -> Rows:
    """Weighted mean over the first axis, i8; weight: i8 (n,)."""
    shaped = weight.reshape(-1, *(1,) * (values.ndim - 1))
    total: Rows = (values * shaped).sum(axis=0) // weight.sum()
    return total


def _fit(bank: Bank, source: Rows, reference: Rows, own: bool) -> Fit:
    return Fit(source, _weights(bank, source), reference, _weights(bank, reference), own)


def _weights(bank: Bank, rows: Rows) -> Rows:
    """The same weight for every class."""
    held = np.bincount(bank.class_id[rows], minlength=len(CLASSES))
    return np.maximum(_WEIGHT // held[bank.class_id[rows]], 1)
