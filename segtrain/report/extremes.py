"""The samples at both ends of a ranking, as a gallery shows them."""

import math

import torch

from segtrain.data.samples import Shards
from segtrain.evaluation.split import Predict
from segtrain.report.gallery import Shown

_SHOWN = 4
"""Samples of either end."""

Scored = list[tuple[float, int]]


def both_ends(found: Scored) -> tuple[Scored, Scored]:
    """The best and the worst of (score, number), four each where there are so many, in falling order; none is both.
    What has no score (nan) counts as the worst."""
    ranked = sorted(found, key=lambda pair: (math.isnan(pair[0]), -pair[0], pair[1]))
    best = min(_SHOWN, len(ranked) // 2)
    worst = min(_SHOWN, len(ranked) - best)
    return ranked[:best], ranked[len(ranked) - worst :]


def shown(predict: Predict, shards: Shards, score: float, number: int) -> Shown:
    """A sample beside what the network makes of it now."""
    image, truth = shards.read(number)
    with torch.inference_mode():
        logits = predict(torch.tensor(image).permute(2, 0, 1)[None])
    prediction = logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()
    return Shown(shards.sample_id(number), image, truth, prediction, score)
