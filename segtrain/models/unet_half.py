"""The original U-Net with half the channels: 32-64-128-256-512, same padding, 23 convolutional layers.

Ronneberger et al. 2015 (arXiv:1505.04597) pad nothing and crop their skips; here every 3x3 convolution pads with zeros,
so that logits are as large as the image. 7,760,394 parameters at three channels and ten classes without
normalisation.
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from smearsynth.errors import UserError

LEVELS = 5
MAX_WIDTH = 1024
"""At which the network has eight thousand million parameters: more is a slip of the hand, and no machine's memory."""
_GROUPS = 8
Activation = Literal["leaky_relu", "relu"]
Norm = Literal["none", "batch", "group"]


class UNetHalf(nn.Module):
    """Image to one logit per class and pixel.

    Takes float (B, channels, H, W), -1 to 1, which is u1 / 127.5 - 1; colour in the order RGB. The reference training
    reads BGR: its published weights would need their first layer's input channels reversed. Returns (B, classes, H, W).
    H and W are at least 1 and otherwise free.
    """

    def __init__(
        self,
        *,
        classes: int,
        channels: int = 3,
        width: int = 32,
        activation: Activation = "leaky_relu",
        norm: Norm = "none",
    ) -> None:
        """width: channels of the first level, doubled at each of the four below. activation: leaky_relu (slope 0.1, as
        the reference code has it) or relu. norm: none (as the reference), batch, or group (8 groups) after every 3x3
        convolution, which then has no bias. Weights are Glorot-normal and biases zero.
        """
        super().__init__()
        _check(width, norm)
        self.activation, self.norm = activation, norm
        widths = [width * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(self._level(i, o) for i, o in pairwise([channels, *widths]))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.merge = nn.ModuleList(self._level(2 * w, w) for w in reversed(widths[:-1]))
        self.head = nn.Conv2d(width, classes, 1)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = _pad(image, 2 ** (LEVELS - 1))
        skips = []
        for level in self.down[:-1]:
            x = level(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.down[-1](x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat((skips.pop(), up(x)), dim=1))
        return self.head(x)[..., :height, :width]

    def _level(self, channels: int, width: int) -> nn.Sequential:
        return nn.Sequential(*self._convolution(channels, width), *self._convolution(width, width))

    def _convolution(self, channels: int, width: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1, bias=self.norm == "none")]
        if self.norm == "batch":
            layers.append(nn.BatchNorm2d(width))
        elif self.norm == "group":
            layers.append(nn.GroupNorm(_GROUPS, width))
        layers.append(nn.ReLU(inplace=True) if self.activation == "relu" else nn.LeakyReLU(0.1, inplace=True))
        return layers


def _check(width: int, norm: str) -> None:
    if not 1 <= width <= MAX_WIDTH or (norm == "group" and width % _GROUPS):
        need = f"a multiple of {_GROUPS} with norm: group" if norm == "group" else "at least 1"
        need += f" and at most {MAX_WIDTH}" if width > MAX_WIDTH else ""
        raise UserError(f"width: must be {need}, not {width}.")


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _pad(image: Tensor, multiple: int) -> Tensor:
    """`image` with its last row and column repeated until both sides are multiples.

    Repeated and not mirrored: a mirror image of a side shorter than the padding does not exist, and the gradient of
    mirroring is not deterministic on CUDA.
    """
    height, width = image.shape[-2:]
    below, right = -height % multiple, -width % multiple
    return F.pad(image, (0, right, 0, below), mode="replicate") if below or right else image
