"""How far two computations of one network may differ, when they add in another order or fold layers into one.

Every product and every partial sum is rounded, by at most u = eps / 2 of its value and as often up as down: after N of
them, one upon the other, a value is off by about sqrt(N) u of its size. Two computations are sqrt(2) of that apart, and
the farthest of a million outputs lies within five standard deviations. The largest logit stands for their size. This is
an estimate of the arithmetic and holds on any processor; a wrong weight, layout or constant is far beyond it.
"""

import math

import torch
from torch import Tensor, nn


def rounding_bound(network: nn.Module, logits: Tensor) -> float:
    """Largest difference of two computations of `logits` by `network`, in the logits' number format. Of a softmax it is
    half of that, since no row of its derivative sums to more than 2 p (1 - p)."""
    terms = 0
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            terms += layer.weight[0].numel()
        elif isinstance(layer, nn.ConvTranspose2d):
            # Of its kernel, each output has a share of 1 / stride ** 2, of every input.
            terms += layer.in_channels * math.prod(layer.kernel_size) // math.prod(layer.stride)
    unit = torch.finfo(logits.dtype).eps / 2
    return 5 * math.sqrt(2 * terms) * unit * logits.abs().max().item()


def assert_within(bound: float, found: Tensor, expected: Tensor, *, share: float = 1.0) -> None:
    """share: of the pixels of (B, C, H, W) that must agree: less than 1 where a rounding may decide between maxima."""
    assert found.shape == expected.shape
    apart = (found - expected).abs().amax(dim=1)
    assert (apart <= bound).double().mean() >= share, f"up to {apart.max():.3g} apart, and {bound:.3g} is rounding"
