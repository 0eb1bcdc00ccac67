"""Losses on the overlap of each class. Logits are float (B, C, H, W), labels i8 (B, H, W), 255 = ignored.

All pixels of a batch count together, not image by image: most smears lack most classes. A class without a pixel in the
batch does not enter; without any class the loss is 0.
"""

import torch
from torch import Tensor

from segtrain.losses.targets import is_class, valid


def dice(logits: Tensor, label: Tensor, *, smooth: float) -> Tensor:
    """1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth), mean over the classes present. p: softmax; t: 0 or 1."""
    truth = is_class(label, logits.shape[1])
    probability = logits.softmax(dim=1) * valid(label)[:, None]
    inside = (probability * truth).sum(dim=(0, 2, 3))
    pixels = truth.sum(dim=(0, 2, 3))
    both = probability.sum(dim=(0, 2, 3)) + pixels + smooth
    overlap = (2 * inside + smooth) / both.clamp(min=torch.finfo(both.dtype).tiny)
    return _mean_of_present(1 - overlap, pixels)


def lovasz(logits: Tensor, label: Tensor) -> Tensor:
    """Lovasz-softmax, the piecewise linear extension of 1 - IoU, mean over the classes present (Berman et al.,
    arXiv:1705.08790)."""
    truth = is_class(label, logits.shape[1])
    error = (truth.to(logits.dtype) - logits.softmax(dim=1)).abs() * valid(label)[:, None]
    # Class by class: one sort over all of them would take ten times the memory.
    each = [_lovasz_of_class(error[:, c].flatten(), truth[:, c].flatten()) for c in range(logits.shape[1])]
    return _mean_of_present(torch.stack(each), truth.sum(dim=(0, 2, 3)))


def _lovasz_of_class(error: Tensor, truth: Tensor) -> Tensor:
    """error: (N,), 0 where ignored. Those pixels come after all others, so that they change nobody's slope."""
    with torch.no_grad():
        order = error.argsort(descending=True, stable=True)
        slope = torch.empty_like(error)
        slope[order] = _jaccard_slope(truth[order]).to(error.dtype)
    return (error * slope).sum()


def _jaccard_slope(truth: Tensor) -> Tensor:
    """How much 1 - IoU rises when, in this order, one more pixel becomes wrong. truth: bool (N,).

    Counted in whole numbers, since cumsum of floats is not deterministic on CUDA, and divided in double precision: with
    millions of pixels the steps are smaller than fp32 resolves near 1.
    """
    found = truth.cumsum(0)
    pixels = found[-1]
    union = pixels + (~truth).cumsum(0)
    loss = 1 - (pixels - found).double() / union.clamp(min=1)
    return loss.diff(prepend=loss.new_zeros(1))


def _mean_of_present(each: Tensor, pixels: Tensor) -> Tensor:
    present = pixels > 0
    return (each * present).sum() / present.sum().clamp(min=1)
