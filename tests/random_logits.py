"""Random logits and labels, and what tests of losses share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segtrain.losses import LossSpec, make_loss

CLASSES = 4
PIXELS = torch.tensor([700, 200, 90, 10])
Floats = npt.NDArray[np.float64]


def sample(seed: int = 0, shape: tuple[int, int, int] = (2, 5, 6), *, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    """Logits f8 (B, C, H, W) and labels i8 (B, H, W) of classes 0 to 2 (class 3 is absent), some of them ignored."""
    random = np.random.default_rng(seed)
    label = random.integers(0, CLASSES - 1, shape)
    label[random.random(shape) < ignored] = 255
    return torch.from_numpy(random.normal(0, 2, (shape[0], CLASSES, *shape[1:]))), torch.from_numpy(label)


def loss_of(spec: dict[str, Any], pixels: Tensor = PIXELS) -> Callable[[Tensor, Tensor], Tensor]:
    return make_loss(LossSpec.model_validate(spec), pixels)


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
