"""How often each number occurs, in whole numbers."""

import torch
from torch import Tensor


def count(numbers: Tensor, n: int) -> Tensor:
    """i8 (n,): how often each of 0 to n - 1 occurs in `numbers`, integers in that range and of any shape.

    Exact at any size and deterministic. torch's bincount makes a CUDA device wait for its largest number, so there it
    is a sort instead.
    """
    if numbers.device.type == "cpu":
        return torch.bincount(numbers.flatten(), minlength=n)
    return count_by_sorting(numbers, n)


def count_by_sorting(numbers: Tensor, n: int) -> Tensor:
    """As `count`, and never waits for the device."""
    ascending = numbers.flatten().to(torch.int32).sort().values
    limits = torch.arange(n + 1, dtype=torch.int32, device=numbers.device)
    return torch.searchsorted(ascending, limits).diff()
