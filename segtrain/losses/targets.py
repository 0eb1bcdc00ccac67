"""Labels as losses want them. No call here waits for the device."""

import torch
from torch import Tensor

from smearsynth.taxonomy import IGNORE


def valid(label: Tensor) -> Tensor:
    """bool, of the same shape: pixels that are not ignored."""
    return label != IGNORE


def is_class(label: Tensor, classes: int) -> Tensor:
    """bool (B, C, H, W): whether a pixel of `label` (B, H, W) is of the class; an ignored one is of none."""
    return label[:, None] == torch.arange(classes, device=label.device)[:, None, None]
