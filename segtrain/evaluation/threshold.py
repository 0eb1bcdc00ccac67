"""The probability from which a pixel counts as the second of two classes, chosen where the network is not measured."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from segtrain.evaluation.split import Predict
from segtrain.metrics.count import count

STEPS = 200
"""Thresholds are whole multiples of 1 / STEPS."""


def best_threshold(batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> float:
    """The threshold of the highest F-score (Dice of the second class, all pixels pooled); of equal ones the nearest to
    1/2, as where no pixel is of that class.

    batches: what `predictions` yields, of two classes.
    """
    pixels = torch.zeros(2, STEPS, dtype=torch.int64)
    for logits, label, _ in batches:
        step = (logits.softmax(dim=1)[:, 1] * STEPS).long().clamp(max=STEPS - 1)
        for truth in (0, 1):
            pixels[truth] += count(torch.where(label == truth, step, STEPS), STEPS + 1)[:STEPS].cpu()
    # Pixels at or over each threshold, 1 / STEPS to 1 - 1 / STEPS.
    wrong, right = pixels.flip(1).cumsum(1).flip(1)[:, 1:].double()
    scores = 2 * right / (wrong + right + pixels[1].sum()).clamp(min=1)
    best = 1 + (scores == scores.max()).nonzero().flatten()
    return float(best[(2 * best - STEPS).abs().argmin()]) / STEPS


def moved(predict: Predict, threshold: float) -> Predict:
    """`predict` with logits whose larger one is the second where its probability is over `threshold`, 0 to 1."""
    shift = torch.tensor([math.log(threshold / (1 - threshold)), 0.0])[:, None, None]

    def predicted(image: Tensor) -> Tensor:
        logits = predict(image)
        return logits + shift.to(logits.device)

    return predicted
