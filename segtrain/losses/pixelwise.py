"""Losses that are a mean over pixels. Logits are float (B, C, H, W), labels i8 (B, H, W), 255 = ignored.

Each pixel's value is computed apart and weighted by a map, and never by the `weight` and `mean` of torch's own loss,
whose normalisation differs and whose sum is not deterministic on CUDA.
"""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from segtrain.losses.targets import is_class, valid
from smearsynth.taxonomy import IGNORE

Norm = Literal["count", "sum"]


def weighted_cross_entropy(logits: Tensor, label: Tensor, *, weights: Tensor, norm: Norm) -> Tensor:
    """sum(w * ce) over the count of pixels with w != 0, or over sum(w); 0 where no pixel has a weight.

    weights: (C,), w of a pixel is its class's.
    """
    return _mean(_cross_entropy(logits, label), _weight_map(label, weights), norm)


def focal(logits: Tensor, label: Tensor, *, weights: Tensor, norm: Norm, gamma: float) -> Tensor:
    """Cross-entropy times (1 - p) ** gamma, p = probability of the true class (Lin et al., arXiv:1708.02002);
    weighted and normalised as `weighted_cross_entropy`. gamma: above 0."""
    ce = _cross_entropy(logits, label)
    # 1 - exp(-ce) without cancellation; away from 0, where a power below 1 has no slope.
    wrong = -torch.expm1(-ce)
    hard = wrong.clamp(min=torch.finfo(ce.dtype).tiny) ** gamma
    return _mean(hard * ce, _weight_map(label, weights), norm)


def bce(logits: Tensor, label: Tensor) -> Tensor:
    """Binary cross-entropy of every class's sigmoid against all others, mean over classes and pixels; 0 where all
    pixels are ignored."""
    target = is_class(label, logits.shape[1]).to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=1)
    return _mean(each, valid(label).to(logits.dtype), "count")


def _cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    return F.cross_entropy(logits, label, ignore_index=IGNORE, reduction="none")


def _weight_map(label: Tensor, weights: Tensor) -> Tensor:
    return torch.where(valid(label), weights[label.clamp(max=len(weights) - 1)], 0)


def _mean(each: Tensor, weight: Tensor, norm: Norm) -> Tensor:
    total = (weight * each).sum()
    if norm == "sum":
        return total / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)
    return total / weight.count_nonzero().clamp(min=1)
