"""How much of each placed cell a network recognises; of sets that were built, for only these know their cells."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from segtrain.data.samples import Shards

_FIELDS = ("class", "cell", "visible", "full")
"""Columns of `objects` that are needed here."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Objects:
    """n cells of which something shows. image: i8 (n,), place of a cell's image among those that were measured.
    class_id, cell (its row in the bank): i8 (n,). visible, full, right: i8 (n,), pixels that show, that the whole cell
    has, and that show and were given its class."""

    image: Ints
    class_id: Ints
    cell: Ints
    visible: Ints
    full: Ints
    right: Ints


class ObjectHits:
    """Takes batches of an evaluation."""

    def __init__(self, shards: Shards) -> None:
        self._shards, self._images = shards, 0
        self._columns = [shards.header.fields.index(name) for name in _FIELDS]
        self._rows: list[Ints] = []

    @classmethod
    def of(cls, shards: Shards) -> Self | None:
        """None for a set that does not know its cells."""
        return cls(shards) if set(_FIELDS) <= set(shards.header.fields) else None

    def update(self, prediction: Tensor, label: Tensor, numbers: Tensor) -> None:
        """prediction, label: (B, H, W), class ids. numbers: of the samples. UserError where the set is damaged."""
        for right, number in zip((prediction == label).cpu().numpy(), numbers.tolist(), strict=True):
            objects, instance = self._shards.objects(number), self._shards.instance(number)
            hits = np.bincount(instance[right], minlength=len(objects) + 1)[1:]
            image = np.full(len(objects), self._images)
            self._rows.append(np.column_stack([image, objects[:, self._columns], hits]).astype(np.int64))
            self._images += 1

    def result(self) -> Objects:
        """Of all images so far."""
        rows = np.concatenate([np.zeros((0, len(_FIELDS) + 2), np.int64), *self._rows])
        rows = rows[rows[:, 3] > 0]
        image, class_id, cell, visible, full, right = rows.T
        return Objects(image=image, class_id=class_id, cell=cell, visible=visible, full=full, right=right)
