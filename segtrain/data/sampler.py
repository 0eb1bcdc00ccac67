"""Which samples make up which batch: pure functions, so that a resumed epoch goes on with the batch that was next.

Training ranks share the shuffled order evenly, because every rank must take part in every step. Validation ranks
share the samples without padding, because a sample that is counted twice makes a wrong metric.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from segtrain.data.keyed_random import keys

Index = npt.NDArray[np.int64]
"""int64 (n,): numbers of samples in their split, or their folds or groups."""


class Budget(NamedTuple):
    """How many images a training sees in all, whatever the size of its set, in epochs that are equal shares of them."""

    images: int
    epochs: int

    def steps(self, batch: int) -> int:
        """Of an epoch: the fewest whose batches hold at most `batch` images."""
        return -(-self.images // (self.epochs * batch))


def training_batches(
    samples: Index, batch: int, *, seed: int, epoch: int, rank: int = 0, world: int = 1
) -> list[Index]:
    """The batches of one rank in one epoch: as many for every rank, each of as many samples.

    A step takes `batch` samples on every rank; the last step of an epoch has the rest, less at most world - 1
    samples that cannot be shared.
    """
    shuffled = samples[shuffled_order(len(samples), seed, epoch)]
    even = shuffled[: len(samples) - len(samples) % world]
    return [step[rank::world] for step in _cut(even, batch * world)]


def budget_batches(samples: Index, batch: int, budget: Budget, *, seed: int, epoch: int) -> list[Index]:
    """The batches of one epoch of a budget: their sizes differ by one at most, over the whole training, and sum up to
    the budget. Passes over the shuffled samples follow one another, and an epoch ends in the midst of one."""
    steps = budget.steps(batch)
    cuts = [budget.images * step // (budget.epochs * steps) for step in range(epoch * steps, (epoch + 1) * steps + 1)]
    passes = range(cuts[0] // len(samples), -(-cuts[-1] // len(samples)))
    stream = np.concatenate([samples[shuffled_order(len(samples), seed, number)] for number in passes])
    before = passes.start * len(samples)
    return [stream[start - before : end - before] for start, end in pairwise(cuts)]


def evaluation_batches(samples: Index, batch: int, *, rank: int = 0, world: int = 1) -> list[Index]:
    """The batches of one rank in the order of the samples: over all ranks every sample exactly once."""
    return _cut(samples[len(samples) * rank // world : len(samples) * (rank + 1) // world], batch)


def shuffled_order(n: int, seed: int, epoch: int) -> Index:
    """int64 (n,): a permutation of 0 to n - 1."""
    return np.argsort(keys(seed, epoch, np.arange(n)), kind="stable")


def _cut(samples: Index, size: int) -> list[Index]:
    return [samples[start : start + size] for start in range(0, len(samples), size)]
