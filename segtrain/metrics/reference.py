"""Pixel accuracy as the reference system measures its own."""

import math

import torch
from torch import Tensor

from segtrain.metrics.pooled import add_up
from smearsynth.taxonomy import IGNORE


class ReferenceAccuracy:
    """Share of pixels whose foreground channels are all right: softmax over 0.5 exactly where the truth is the class.

    The background channel is left out. So a pixel of background is right as soon as no cell is over 0.5, however
    unsure the network is, and one of a cell only when its class is over 0.5: stricter than pixel accuracy there,
    laxer here.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._counts = torch.zeros(2, dtype=torch.int64, device=device)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Takes a batch. logits: float (B, C, H, W). label: u1 or i8 (B, H, W), 255 = ignored. Never waits."""
        probability, prediction = logits.float().softmax(dim=1).max(dim=1)
        # At most one channel is over 0.5, so that all channels agree when that one, or none for background, is right.
        prediction = torch.where(probability > 0.5, prediction, 0)
        self._counts += torch.stack([(prediction == label).sum(), (label != IGNORE).sum()])

    def all_reduce(self) -> None:
        """Adds up the counts of all processes, in all of them."""
        add_up(self._counts)

    def report(self) -> dict[str, float]:
        """reference_accuracy, 0 to 1; nan before any pixel."""
        right, pixels = self._counts.tolist()
        return {"reference_accuracy": right / pixels if pixels else math.nan}
