"""TernausNet: a U-Net whose way down is VGG (Iglovikov and Shvets 2018, arXiv:1801.05746), which may begin with weights
trained on ImageNet.

The way up is the paper's for VGG11, and here VGG16's too: on every level a 3x3 convolution, and one transposed that
leaves half as many channels as the skip has.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from segtrain.networks.blocks import EncoderDecoder, check_width, convolution

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3)}
"""Of each level, by VGG's layers (Simonyan and Zisserman 2014, arXiv:1409.1556, configurations A and D)."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of R, G, B from 0 to 1, as torchvision states them: what its weights were trained on."""
_WEIGHT = re.compile(r"features\.[0-9]{1,3}\.weight")


class VggUNet(EncoderDecoder):
    """22,927,393 parameters with VGG11 and one output, the paper's 22.9 M; 28,421,601 with VGG16.

    An image enters as VGG was trained: grey in all three channels, its values by ImageNet's mean and deviation.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, layers: Literal[11, 16], *, classes: int, channels: int = 3, width: int = 64) -> None:
        """channels: 1 or 3, which changes no weight. width: channels of the first level; 64 is VGG's own, which
        pretrained weights need."""
        check_width(width)
        assert channels in (1, 3), "VGG takes grey or RGB"
        down = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        skips = down[::-1]
        halves = [max(w // 2, 1) for w in skips]
        merged = [*skips[:-1], halves[-1]]
        super().__init__(
            down=[
                *(_level(i, o, n) for (i, o), n in zip(pairwise([3, *down]), CONVOLUTIONS[layers], strict=True)),
                nn.Sequential(*convolution(down[-1], down[-1])),
            ],
            up=[_doubled(i, o) for i, o in zip([down[-1], *merged[:-1]], halves, strict=True)],
            merge=[nn.Sequential(*convolution(s + h, m)) for s, h, m in zip(skips, halves, merged, strict=True)],
            head=nn.Conv2d(merged[-1], classes, 1),
        )
        self.layers, self.width = layers, width
        mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        self.register_buffer("scale", 0.5 / std, persistent=False)
        self.register_buffer("shift", (0.5 - mean) / std, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.expand(-1, 3, -1, -1) * self.scale + self.shift)

    def load_pretrained(self, state: Mapping[str, Any]) -> None:
        """Takes over the way down from a state as torchvision saves its VGG without batch normalisation.

        ValueError where it is another network's, or this one is not as wide as VGG.
        """
        ours = [m for m in self.down[:-1].modules() if isinstance(m, nn.Conv2d)]
        numbers = sorted(int(key.split(".")[1]) for key in state if _WEIGHT.fullmatch(str(key)))
        found = [[state[f"features.{n}.weight"], state.get(f"features.{n}.bias")] for n in numbers]
        needed = [[tuple(m.weight.shape), (m.out_channels,)] for m in ours]
        if [[tuple(getattr(t, "shape", ())) for t in pair] for pair in found] != needed:
            raise ValueError(
                f"its features are not the {len(ours)} convolutions of VGG{self.layers} from {self.width} channels on"
            )
        for layer, (weight, bias) in zip(ours, found, strict=True):
            layer.load_state_dict({"weight": weight, "bias": bias})


def _level(inputs: int, outputs: int, convolutions: int) -> nn.Sequential:
    channels = [inputs, *[outputs] * convolutions]
    return nn.Sequential(*(layer for i, o in pairwise(channels) for layer in convolution(i, o)))


def _doubled(inputs: int, outputs: int) -> nn.Sequential:
    up = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(up, nn.ReLU(inplace=True))
