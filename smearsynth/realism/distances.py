"""Distributions of what is measured, as sums that need no memory of the images, and the distance between two of them.

A value is shared between the two bins next to it, so means are exact and a distance is not rounded to whole bins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Counts = npt.NDArray[np.float64]
"""float64 (slices, BINS): weight near each point from `low` to `high`."""

BINS = 512
GROUPS = 16
"""Parts into which real images are sorted, to be halved in several ways."""
_HALVINGS = 12


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Something measured many times, in `slices` related variants, each between low and high; values beyond count as
    the nearest of these."""

    key: str
    low: float
    high: float
    slices: int = 1

    @property
    def points(self) -> Floats:
        """float64 (BINS,): the values that bins stand for."""
        return np.linspace(self.low, self.high, BINS)


class Weighted(NamedTuple):
    """values: (slices, n). weights: (n,), > 0."""

    values: Floats
    weights: Floats


Measured = Mapping[Quantity, Weighted]


def plain(values: Floats) -> Weighted:
    """Values (n,) of one slice, all of weight 1."""
    return Weighted(values[None], np.ones(values.size))


class Tally:
    """What was measured of a set of images, in groups."""

    def __init__(self, quantities: Iterable[Quantity], groups: int) -> None:
        self.groups = groups
        self._counts = {q: np.zeros((groups, q.slices, BINS)) for q in quantities}

    def add(self, measured: Measured, group: int) -> None:
        for quantity, (values, weights) in measured.items():
            place = (values - quantity.low) / (quantity.high - quantity.low) * (BINS - 1)
            place = np.clip(np.asarray(place, np.float64), 0, BINS - 1)
            below = np.minimum(place.astype(np.int64), BINS - 2)
            share = place - below
            row = np.arange(quantity.slices)[:, None] * BINS
            for bins, part in ((below, 1 - share), (below + 1, share)):
                added = np.bincount((row + bins).ravel(), (part * weights).ravel(), minlength=quantity.slices * BINS)
                self._counts[quantity][group] += added.reshape(quantity.slices, BINS)

    def counts(self, quantity: Quantity, groups: Sequence[int] | None = None) -> Counts:
        """Of the groups together; None: of all."""
        chosen = self._counts[quantity] if groups is None else self._counts[quantity][list(groups)]
        return np.asarray(chosen.sum(axis=0))


def earth_movers(quantity: Quantity, a: Counts, b: Counts) -> float:
    """Mean over the slices of how far weight has to be moved to make one distribution of the other, in the unit of the
    quantity (the first Wasserstein distance); nan where a slice of either is empty."""
    step = (quantity.high - quantity.low) / (BINS - 1)
    with np.errstate(invalid="ignore"):
        gap = [np.cumsum(c, axis=1) / c.sum(axis=1, keepdims=True) for c in (a, b)]
    return float(np.abs(gap[0] - gap[1]).sum(axis=1).mean() * step)


def mean(quantity: Quantity, counts: Counts) -> Floats:
    """float64 (slices,); nan for an empty slice."""
    with np.errstate(invalid="ignore"):
        return (counts @ quantity.points) / counts.sum(axis=1)


def spread(quantity: Quantity, counts: Counts) -> Floats:
    """float64 (slices,): standard deviations; nan for an empty slice."""
    with np.errstate(invalid="ignore"):
        square = (counts @ quantity.points**2) / counts.sum(axis=1)
    return np.sqrt(np.maximum(square - mean(quantity, counts) ** 2, 0))


def halvings(groups: int) -> list[tuple[list[int], list[int]]]:
    """Ways to part the groups in two halves, at most 12 and always the same; none for a single group."""
    ways = [half for half in combinations(range(groups), groups // 2) if groups % 2 or 0 in half]
    chosen = ways[:: max(1, len(ways) // _HALVINGS)][:_HALVINGS] if groups > 1 else []
    return [(list(half), [g for g in range(groups) if g not in half]) for half in chosen]
