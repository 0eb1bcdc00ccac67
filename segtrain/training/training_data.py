"""Which samples a training learns from, and on which it is validated: what `data`, `fold` and `overfit` come to."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segtrain.data.folds import pooled, read_folds
from segtrain.data.sampler import Index
from segtrain.data.samples import Shards
from segtrain.training.config import Config
from smearsynth.base.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Parts:
    """training, validation: numbers of the samples in `shards` and in `held_out`, which may be one; None: all."""

    shards: Shards
    training: Index | None
    held_out: Shards
    validation: Index | None
    fold: bool = False

    def __len__(self) -> int:
        """Samples to learn from."""
        return len(self.shards if self.training is None else self.training)

    @property
    def pixels_per_class(self) -> npt.NDArray[np.int64]:
        """i8 (classes,): of the samples to learn from; with `overfit`, of the whole split that they are of."""
        return self.shards.pixels_per_class(self.training if self.fold else None)

    @property
    def fold_digest(self) -> str:
        """sha256 of what a fold learns from and is validated on, hex; "" without folds."""
        if not self.fold:
            return ""
        assert self.training is not None
        assert self.validation is not None
        both = self.training.astype("<i8").tobytes() + b"|" + self.validation.astype("<i8").tobytes()
        return hashlib.sha256(both).hexdigest()


def read_parts(config: Config) -> Parts:
    """Of the config's data. UserError where it has not what the config asks for."""
    root = Path(config.data or "")
    if config.fold:
        both, table = pooled(root), Path(config.fold.table)
        fold = read_folds(table, both)
        if config.fold.number > fold.max():
            raise UserError(f"fold.number: {table} has {fold.max()} folds, and {config.fold.number} is asked for.")
        out = fold == config.fold.number
        return Parts(
            shards=both, training=np.flatnonzero(~out), held_out=both, validation=np.flatnonzero(out), fold=True
        )
    shards = Shards(root, "train")
    if config.overfit:
        if config.overfit > len(shards):
            raise UserError(f"overfit: asks for {config.overfit} samples of {len(shards)}: ask for fewer.")
        few = np.arange(config.overfit)
        return Parts(shards=shards, training=few, held_out=shards, validation=few)
    return Parts(shards=shards, training=None, held_out=Shards(root, "val"), validation=None)
