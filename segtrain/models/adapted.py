"""What may stand before and behind any network: colour reduced to grey, two classes told by one output."""

import torch
from torch import Tensor, nn

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B (ITU-R BT.601), as image libraries turn colour to grey."""


class Adapted(nn.Module):
    """Takes RGB, (B, 3, H, W), -1 to 1, and returns logits as every network does.

    With `sigmoid` its two logits are 0 and what the network gives: their softmax is the sigmoid of that, cross-entropy
    is binary cross-entropy, and the larger one is where the sigmoid is over 1/2. So every loss and figure holds.
    """

    luma: Tensor

    def __init__(self, network: nn.Module, *, grey: bool, sigmoid: bool) -> None:
        """network: for one channel where `grey`, with one class where `sigmoid`."""
        super().__init__()
        self.network, self.grey, self.sigmoid = network, grey, sigmoid
        self.register_buffer("luma", torch.tensor(LUMA)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        if self.grey:
            image = (image * self.luma).sum(dim=1, keepdim=True)
        logits: Tensor = self.network(image)
        return torch.cat((torch.zeros_like(logits), logits), dim=1) if self.sigmoid else logits
