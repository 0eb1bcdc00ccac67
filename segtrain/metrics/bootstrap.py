"""How far a figure would go with other images of the same kind: the bootstrap over images.

Images are drawn, not pixels: the pixels of a cell are right or wrong together, and intervals from pixels would be far
too narrow. What is resampled are counts, such as confusion matrices, which of a drawn set are only to be added up.
Images that belong together are drawn together: looks of one scene, patches of one image, fields of one patient.
Percentile intervals, Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK = 100
"""Resamples that are computed at a time, for the sake of memory."""

Counts = npt.NDArray[np.integer[Any] | np.floating[Any]]
Floats = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A figure with its interval of 95 %; nan where there is nothing to measure, the interval also of a single unit."""

    value: float
    low: float
    high: float

    def plain(self) -> dict[str, float | None]:
        """By name, None for nan, which JSON does not know."""
        return {name: None if math.isnan(value) else value for name, value in self._asdict().items()}


def estimate_text(plain: Mapping[str, float | None], form: str, factor: float = 1) -> str:
    """What `Estimate.plain` gives, each times `factor`, for a person: "0.93 (0.90 to 0.95)"; "-" where there is nothing
    to measure."""
    value, low, high = (None if bound is None else f"{factor * bound:{form}}" for bound in plain.values())
    return "-" if value is None else value if low is None else f"{value} ({low} to {high})"


def bootstrap(
    counts: Counts, units: npt.NDArray[np.int64], statistic: Callable[[Floats], Floats], *, seed: int = 0
) -> list[Estimate]:
    """The figures that `statistic` makes of the sum of all counts, each with its interval.

    counts: (N, ...), of each image. units: int64 (N,), images of one number are drawn together. statistic: of sums,
    float64 (B, ...), makes figures, float64 (B, M), nan where there is none; resamples without a figure are left out of
    its interval.
    """
    of_units = by_unit(counts, units)
    values = statistic(of_units.sum(axis=0, keepdims=True))[0]
    if len(of_units) < 2:
        return [Estimate(float(value), math.nan, math.nan) for value in values]
    drawn = statistic(resampled(of_units, seed=seed))
    with warnings.catch_warnings():
        # Of a figure that no resample has.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanquantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2), axis=0)
    return [Estimate(*map(float, three)) for three in zip(values, low, high, strict=True)]


def by_unit(counts: Counts, units: npt.NDArray[np.int64]) -> Floats:
    """float64 (U, ...): the sums over the images of each unit, in the order of their numbers."""
    names, unit = np.unique(units, return_inverse=True)
    sums = np.zeros((len(names), *counts.shape[1:]))
    np.add.at(sums, unit, counts)
    return sums


def resampled(of_units: Floats, *, seed: int) -> Floats:
    """float64 (RESAMPLES, ...): sums over as many units as there are, drawn with replacement; exact, since counts are
    whole."""
    generator, n = np.random.default_rng(seed), len(of_units)
    flat = of_units.reshape(n, -1)
    blocks = []
    for _ in range(RESAMPLES // _BLOCK):
        drawn = [np.bincount(generator.integers(n, size=n), minlength=n) for _ in range(_BLOCK)]
        blocks.append(np.array(drawn, np.float64) @ flat)
    return np.concatenate(blocks).reshape(RESAMPLES, *of_units.shape[1:])
