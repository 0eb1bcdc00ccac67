"""Batches of one split for the training loop."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segtrain.data.augment import AugmentSpec
from segtrain.data.samples import Shards
from segtrain.data.shuffle import Index, evaluation_batches, training_batches


class Batch(NamedTuple):
    """image: u1 (B, 3, H, W) RGB, channels_last in memory. label: u1 (B, H, W). number: i8 (B,), on the host: numbers
    of the samples in their split."""

    image: Tensor
    label: Tensor
    number: Tensor


class Loader:
    """Reads, augments and batches."""

    def __init__(
        self,
        shards: Shards,
        *,
        batch: int,
        shuffle: bool,
        seed: int = 0,
        augment: AugmentSpec | None = None,
        samples: Index | None = None,
        workers: int | None = None,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """batch: samples of a step on each rank. shuffle: training (shared evenly over ranks, by seed and epoch);
        else evaluation (in order, every sample on exactly one rank). samples: numbers of those to use, default all.
        workers: None chooses."""
        self.shards, self.batch, self.shuffle, self.seed = shards, batch, shuffle, seed
        self.device, self.rank, self.world = torch.device(device), rank, world
        self._samples = np.arange(len(shards)) if samples is None else np.asarray(samples, np.int64)
        self.waited = 0.0
        """Seconds that the caller has waited for batches so far."""

    def __len__(self) -> int:
        """Steps of an epoch on this rank."""
        return len(self._plan(0))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `start` on."""
        for index in self._plan(epoch)[start:]:
            began = time.perf_counter()
            pairs = [self.shards.read(int(i)) for i in index]
            image = torch.from_numpy(np.stack([image for image, _ in pairs])).permute(0, 3, 1, 2)
            label = torch.from_numpy(np.stack([label for _, label in pairs]))
            self.waited += time.perf_counter() - began
            yield Batch(image.to(self.device), label.to(self.device), torch.from_numpy(index))

    def close(self) -> None:
        """Ends the workers."""

    def _plan(self, epoch: int) -> list[Index]:
        share = {"rank": self.rank, "world": self.world}
        if self.shuffle:
            return training_batches(self._samples, self.batch, seed=self.seed, epoch=epoch, **share)
        return evaluation_batches(self._samples, self.batch, **share)
