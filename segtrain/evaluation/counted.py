"""Cells of a split, counted one by one and held against the true ones."""

from typing import Any

import numpy as np
from torch import Tensor

from segtrain.counting.measure import count_field
from segtrain.data.samples import Shards
from segtrain.evaluation.figures import Figures, known
from segtrain.metrics import ObjectScores
from smearsynth.errors import UserError


class CountedCells:
    """What counting makes of a network's prediction, against the `instance` maps of a dataset."""

    def __init__(self, shards: Shards) -> None:
        """Raises UserError where the set does not know its cells."""
        if not shards.header.fields:
            raise UserError(
                f"--objects: {shards.root} does not say which pixels are of one cell, as sets do that smearsynth "
                "built: leave it out."
            )
        self._shards, self._keys = shards, shards.classes.keys
        self._scores = ObjectScores(self._keys)

    def update(self, logits: Tensor, number: Tensor) -> None:
        """A batch. logits: fp32 (B, C, H, W). number: i8 (B,), of the samples."""
        best = logits.softmax(dim=1).max(dim=1)
        labels = best.indices.byte().cpu().numpy()
        confidences = (best.values * 255).round().byte().cpu().numpy()
        for label, confidence, i in zip(labels, confidences, number.tolist(), strict=True):
            found = count_field(label, confidence, keys=self._keys, um_per_px=self._shards.um_per_px)
            classes = np.array([self._keys.index(cell.kind) for cell in found.cells], np.int64)
            true, kinds = self._true(i)
            self._scores.update(found.map, classes, true, kinds)

    def figures(self) -> Figures:
        """As `ObjectScores.report` says; None where there was nothing to measure."""
        return _plain(self._scores.report())

    def _true(self, i: int) -> tuple[Any, Any]:
        """The sample's cells, numbered anew from 1 without gaps, and the class of each."""
        instance, (_, label) = self._shards.instance(i), self._shards.read(i)
        numbers, first, dense = np.unique(instance, return_index=True, return_inverse=True)
        shift = 0 if numbers[0] == 0 else 1
        return dense.reshape(instance.shape) + shift, label.ravel()[first[1 - shift :]].astype(np.int64)


def _plain(report: Figures) -> Figures:
    def value(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {key: value(inner) for key, inner in entry.items()}
        return known(entry) if isinstance(entry, float) else entry

    return value(report)
