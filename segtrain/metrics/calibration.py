"""Whether a network is right as often as its probabilities say."""

import math
from typing import Any

import torch
from torch import Tensor

from smearsynth.taxonomy import IGNORE

BINS = 15
"""As in Guo et al., arXiv:1706.04599."""
_ONE = 2**24
"""Confidences are summed as whole multiples of 1 / _ONE, which fp32 resolves: sums are exact and no order matters."""


class CalibrationError:
    """Expected calibration error. Pixels are in 15 bins by their highest softmax, (0, 1/15], (1/15, 2/15] and so on:
    the mean over bins, weighted by pixels, of |share that is right - mean confidence|."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        # Rows: pixels, right pixels, confidence.
        self._sums = torch.zeros(3, BINS, dtype=torch.int64, device=device)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Takes a batch. logits: float (B, C, H, W). label: uint8 or int64 (B, H, W), 255 = ignored. Never waits."""
        probability, prediction = logits.float().softmax(dim=1).max(dim=1)
        confidence = (probability.double() * _ONE).round().long()
        right = prediction == label
        number = torch.where(label != IGNORE, (confidence * BINS - 1) // _ONE, -1)
        for b in range(BINS):
            inside = number == b
            self._sums[:, b] += torch.stack([inside.sum(), (inside & right).sum(), (inside * confidence).sum()])

    def report(self) -> dict[str, Any]:
        """calibration_error, 0 to 1, nan before any pixel; calibration: for each bin pixels, accuracy, confidence."""
        bins = [
            {
                "pixels": pixels,
                "accuracy": right / pixels if pixels else math.nan,
                "confidence": confidence / _ONE / pixels if pixels else math.nan,
            }
            for pixels, right, confidence in self._sums.T.tolist()
        ]
        pixels, right, confidence = self._sums.double().cpu()
        total = pixels.sum().item()
        gap = (right - confidence / _ONE).abs().sum().item()
        return {"calibration_error": gap / total if total else math.nan, "calibration": bins}
