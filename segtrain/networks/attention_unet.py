"""Attention U-Net: gates on the skips let through what the level below asks for (Oktay et al. 2018, arXiv:1804.03999).

In two dimensions, with batch normalisation, and with the gate on the skip's own level, as the implementations do that
its 34.9 M parameters are quoted from; the paper's own network is three-dimensional.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from segtrain.networks.blocks import EncoderDecoder, check_width, convolution, double_convolution

LEVELS = 5


class AttentionGate(nn.Module):
    """The skip, each pixel times a weight from 0 to 1 that skip and gating signal agree on, before that signal."""

    def __init__(self, width: int) -> None:
        """width: channels of the skip, and of the signal; half as many lie between."""
        super().__init__()
        between = max(width // 2, 1)
        self.of_skip = _linear(width, between)
        self.of_signal = _linear(width, between)
        self.weight = nn.Sequential(nn.ReLU(inplace=True), *_linear(between, 1), nn.Sigmoid())

    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        weight = self.weight(self.of_skip(skip) + self.of_signal(signal))
        return torch.cat((skip * weight, signal), dim=1)


class AttentionUNet(EncoderDecoder):
    """34,870,761 parameters for RGB and one output. Known implementations have 34,878,573: the difference is the
    biases of convolutions before a batch normalisation, which takes them out again."""

    def __init__(self, *, classes: int, channels: int = 3, width: int = 64) -> None:
        """width: channels of the first level, doubled at each of the four below."""
        check_width(width)
        widths = [width * 2**level for level in range(LEVELS)]
        upwards = widths[-2::-1]
        super().__init__(
            down=[double_convolution(i, o, norm="batch") for i, o in pairwise([channels, *widths])],
            up=[nn.Sequential(nn.Upsample(scale_factor=2), *convolution(2 * w, w, norm="batch")) for w in upwards],
            join=[AttentionGate(w) for w in upwards],
            merge=[double_convolution(2 * w, w, norm="batch") for w in upwards],
            head=nn.Conv2d(width, classes, 1),
        )


def _linear(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
