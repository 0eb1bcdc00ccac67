"""Counts and sums of one process to those of all."""

import torch.distributed as dist
from torch import Tensor


def add_up(sums: Tensor) -> None:
    """Replaces `sums` by their total over all processes, in all of them."""
    if dist.is_initialized():
        dist.all_reduce(sums)
