"""A sum of losses from its specification."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from segtrain.losses.overlap import dice, lovasz
from segtrain.losses.pixelwise import bce, focal, weighted_cross_entropy
from segtrain.losses.spec import LossSpec
from segtrain.losses.weights import class_weights

Loss = Callable[[Tensor, Tensor], Tensor]


def make_loss(spec: LossSpec, pixels: Tensor, *, device: torch.device | str = "cpu") -> Loss:
    """The loss of logits, float (B, C, H, W), and labels, u1 or i8 (B, H, W), 255 = ignored: a scalar, fp32 whatever
    autocast says. Never waits for the device; deterministic there.

    pixels: i8 (C,), pixels of each class in the training set.
    """
    terms: list[tuple[float, Loss]] = []
    if spec.cross_entropy:
        ce = spec.cross_entropy
        weights = class_weights(pixels, ce.weights).to(device)
        terms.append((ce.factor, partial(weighted_cross_entropy, weights=weights, norm=ce.norm)))
    if spec.dice:
        terms.append((spec.dice.factor, partial(dice, smooth=spec.dice.smooth)))
    if spec.focal:
        weights = class_weights(pixels, spec.focal.weights).to(device)
        of_focal = partial(focal, weights=weights, norm=spec.focal.norm, gamma=spec.focal.gamma)
        terms.append((spec.focal.factor, of_focal))
    if spec.lovasz:
        terms.append((spec.lovasz.factor, lovasz))
    if spec.bce:
        terms.append((spec.bce.factor, bce))
    return partial(_sum, terms)


def _sum(terms: Sequence[tuple[float, Loss]], logits: Tensor, label: Tensor) -> Tensor:
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    label = label.long()
    return torch.stack([factor * loss(logits, label) for factor, loss in terms]).sum()
