"""The cells of one split to draw from: per class a source by weight, then a cell of it evenly."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.base.errors import UserError
from smearsynth.base.fixed_point import ONE
from smearsynth.base.streams import below
from smearsynth.taxonomy import BY_KEY, CLASSES, SPLITS, WHITE_CELLS

ANY_SOURCE = -1
_LAST_WHITE_CELL = max(WHITE_CELLS)
Mix = Mapping[str, Mapping[str, float]]
"""class key -> {source name: share}; a class left out draws evenly from all its cells."""


class CellSampler(NamedTuple):
    """cells: int64, bank indices by class, then source, then bank order. first, held, weight: int64 (10, sources),
    where the cells of a class and source start, how many they are, and their weight in the draw (0: never drawn)."""

    cells: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]
    held: npt.NDArray[np.int64]
    weight: npt.NDArray[np.int64]


def cell_sampler(bank: Bank, split: str, mix: Mix) -> CellSampler:
    """The sampler of one split; UserError where a mix names a source that the bank does not have."""
    members = np.flatnonzero(bank.split == SPLITS.index(split))
    kind = bank.class_id[members].astype(np.int64) * len(bank.sources) + bank.source[members]
    cells = members[np.argsort(kind, kind="stable")]
    held = np.bincount(kind, minlength=len(CLASSES) * len(bank.sources)).reshape(len(CLASSES), -1)
    first = (np.cumsum(held) - held.reshape(-1)).reshape(held.shape)
    weight = held.copy()
    for key, shares in mix.items():
        row = [0] * len(bank.sources)
        for source, share in shares.items():
            if source not in bank.sources:
                known = ", ".join(bank.sources)
                raise UserError(f'cells.mix.{key}: no cells come from "{source}": name one of {known}')
            row[bank.sources.index(source)] = round(share * ONE)
        weight[BY_KEY[key].id] = np.where(held[BY_KEY[key].id] > 0, row, 0)
    return CellSampler(cells.astype(np.int64), first, held, weight)


def common_source_weights(sampler: CellSampler, foreground: Sequence[int]) -> npt.NDArray[np.int64]:
    """Weights, int64 (sources,), of the one source of all white cells of a foreground: the product of its shares in
    each. All are 0 where there is no white cell, or no source that has them all: then each comes from any."""
    white = sorted(set(foreground) & set(WHITE_CELLS))
    product = [2**30 if white else 0] * sampler.weight.shape[1]
    for cls in white:
        total = int(sampler.weight[cls].sum())
        product = [p * int(w) // total for p, w in zip(product, sampler.weight[cls], strict=True)]
    return np.array(product)


@compiled()
def draw_weighted(state, weights):  # type: ignore[no-untyped-def]
    """An index drawn in proportion to integer weights, whose sum is 1 to 2**31 - 1."""
    rest = below(state, weights.sum())
    i = 0
    while rest >= weights[i]:
        rest -= weights[i]
        i += 1
    return i


@compiled()
def draw_cell(state, sampler, class_id, white_source):  # type: ignore[no-untyped-def]
    """The bank index of a cell of the class. white_source: the source of all white cells, or ANY_SOURCE."""
    white = class_id <= _LAST_WHITE_CELL
    source = white_source if white and white_source >= 0 else draw_weighted(state, sampler.weight[class_id])
    return sampler.cells[sampler.first[class_id, source] + below(state, sampler.held[class_id, source])]
