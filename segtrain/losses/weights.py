"""The weight of a class from how many pixels it has."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Weighting = Literal["none", "inverse", "inverse_sqrt"]


def class_weights(pixels: Tensor, weighting: Weighting) -> Tensor:
    """fp32 (C,) on the CPU: weight of each class; 0 for a class without a pixel, whatever the weighting.

    pixels: i8 (C,), pixels of each class in the training set. "inverse": all pixels / pixels of the class, as the
    reference training has it; "inverse_sqrt": the root of that; "none": 1.
    """
    count = pixels.to("cpu", torch.float64)
    share = torch.where(count > 0, count.sum() / count.clamp(min=1), 0.0)
    exponent = {"none": 0.0, "inverse": 1.0, "inverse_sqrt": 0.5}[weighting]
    return torch.where(count > 0, share**exponent, 0.0).float()


def absent_classes(pixels: Tensor, keys: Sequence[str]) -> str:
    """A sentence for the log on the classes that the training set lacks; "" where it lacks none.

    pixels: i8 (C,), pixels of each class in the training set. keys: C names.
    """
    absent = [key for key, count in zip(keys, pixels.tolist(), strict=True) if not count]
    return f"the training set has no pixel of {', '.join(absent)}: this cannot be learned from it" if absent else ""
