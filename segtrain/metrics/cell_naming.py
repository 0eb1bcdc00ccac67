"""Whether cells get their right names, where their pixels are known: what is left when finding them is no question.

A cell's name is the class whose probability, pooled over the cell's pixels, is highest of all classes but background.
Pixel metrics do not say this: a cell named rightly by two thirds of its pixels has lost a third of them there.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from segtrain.losses import pool_cells
from segtrain.metrics.confusion import add_up, count
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, INFECTED_RBC, WHITE_CELLS

LEAST = 60
"""Pixels that a cell must show to be counted, 2.4 um2 at 40x: less is a sliver at the border."""


class CellNaming:
    """Counts cells by true class and name, on the device."""

    def __init__(self, keys: Sequence[str], most: int, device: torch.device | str = "cpu") -> None:
        """keys: of the classes, background first. most: cells that an image can have."""
        self._keys, self._most = keys, most
        self._counts = torch.zeros(len(keys) ** 2, dtype=torch.int64, device=device)

    def update(self, logits: Tensor, label: Tensor, instance: Tensor) -> None:
        """A batch. logits: float (B, C, H, W). label: uint8 or int64 (B, H, W), 255 = ignored. instance: integers
        (B, H, W), 0 = no cell, else its number in its image. Never waits for the device."""
        cells = pool_cells(logits.float().softmax(dim=1), label.long(), instance, self._most)
        name = 1 + cells.mean[:, 1:].argmax(dim=1)
        classes = len(self._keys)
        pair = torch.where(cells.pixels >= LEAST, cells.kind * classes + name, classes**2)
        self._counts += count(pair, classes**2 + 1)[:-1]

    def all_reduce(self) -> None:
        """Adds up the counts of all processes, in all of them."""
        add_up(self._counts)

    @property
    def matrix(self) -> Tensor:
        """int64 (C, C) on the CPU: cells, rows truth, columns name."""
        return self._counts.cpu().reshape(len(self._keys), len(self._keys))

    def report(self) -> dict[str, float]:
        """white_accuracy: balanced accuracy of the white cells, the mean over their types of the share that is named
        rightly among all classes. infected_recall: share of infected red cells that are named so. false_alarms: healthy
        red cells named infected, per 1,000. infected_accuracy: mean of the recall of infected cells and the share of
        healthy ones that raise no alarm. nan where there is no such cell."""
        matrix = self.matrix.double()
        known = {key: number for number, key in enumerate(self._keys)}
        ids = {c.id: known[c.key] for c in CLASSES if c.key in known}
        white = torch.tensor([ids[c] for c in WHITE_CELLS if c in ids], dtype=torch.int64)
        recall = matrix.diagonal()[white] / matrix[white].sum(dim=1)
        infected = _share(matrix, ids.get(INFECTED_RBC), ids.get(INFECTED_RBC))
        alarms = _share(matrix, ids.get(HEALTHY_RBC), ids.get(INFECTED_RBC))
        return {
            "white_accuracy": float(recall.nanmean()),
            "infected_recall": infected,
            "false_alarms": 1000 * alarms,
            "infected_accuracy": (infected + 1 - alarms) / 2,
        }


def _share(matrix: Tensor, true: int | None, named: int | None) -> float:
    """Of the cells of class `true` those that are named `named`; nan without either."""
    if true is None or named is None or not matrix[true].sum():
        return math.nan
    return float(matrix[true, named] / matrix[true].sum())
