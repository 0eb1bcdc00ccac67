"""Distributions of whole numbers, exact however many are counted: only different values take room."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_QUANTILES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """n values; quantiles are values that are there (the least with at least that share at or below it)."""

    n: int
    mean: float
    sd: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float


class Spread:
    """values: i8 (m,), ascending. counts: i8 (m,), how often each was met."""

    def __init__(self) -> None:
        self.values = np.zeros(0, np.int64)
        self.counts = np.zeros(0, np.int64)

    def add(self, values: npt.NDArray[np.integer]) -> None:
        self._merge(*np.unique(values, return_counts=True))

    def add_all(self, other: "Spread") -> None:
        self._merge(other.values, other.counts)

    def _merge(self, values: npt.NDArray[np.integer], counts: npt.NDArray[np.integer]) -> None:
        self.values, where = np.unique(np.concatenate([self.values, values]), return_inverse=True)
        # Sums of floats are exact up to 2**53.
        self.counts = np.bincount(where, np.concatenate([self.counts, counts])).astype(np.int64)

    def summary(self, unit: float = 1) -> Summary | None:
        """In `unit`s; None where nothing was met."""
        n = int(self.counts.sum())
        if n == 0:
            return None
        values = self.values / unit
        mean = float(self.counts @ values / n)
        quantiles = np.quantile(values, list(_QUANTILES.values()), weights=self.counts, method="inverted_cdf")
        return Summary(
            n=n,
            mean=mean,
            sd=float(np.sqrt(self.counts @ np.square(values - mean) / n)),
            **dict(zip(_QUANTILES, quantiles.tolist(), strict=True)),
        )
