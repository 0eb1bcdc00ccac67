"""What networks are made of: convolutions in one style, the weights they begin with, images padded to even sizes.

`EncoderDecoder` is what all U-Nets share: levels that halve the image, and levels back up, each joined by a skip to its
counterpart on the way down.
"""

import math
from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from smearsynth.base.errors import UserError

MAX_WIDTH = 1024
"""Of the first level. A U-Net then has eight thousand million parameters: more is a mistake."""
_GROUPS = 8
Activation = Literal["leaky_relu", "relu"]
Norm = Literal["none", "batch", "group"]


def check_width(width: int, norm: Norm = "none") -> None:
    """UserError where a network cannot be `width` channels wide, or not with this normalisation."""
    if not 1 <= width <= MAX_WIDTH or (norm == "group" and width % _GROUPS):
        need = f"a multiple of {_GROUPS} with norm: group" if norm == "group" else "at least 1"
        need += f" and at most {MAX_WIDTH}" if width > MAX_WIDTH else ""
        raise UserError(f"width: must be {need}, not {width}.")


def convolution(
    inputs: int,
    outputs: int,
    *,
    size: int = 3,
    stride: int = 1,
    padding: int | None = None,
    activation: Activation = "relu",
    norm: Norm = "none",
) -> list[nn.Module]:
    """Convolution, normalisation, activation.

    padding: zeros on every side; None: as many as keep the size. activation: leaky_relu has slope 0.1. norm: batch, or
    group (8 groups), after which the convolution needs no bias and has none.
    """
    padding = size // 2 if padding is None else padding
    return [
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=norm == "none"),
        *normalisation(outputs, norm),
        nn.ReLU(inplace=True) if activation == "relu" else nn.LeakyReLU(0.1, inplace=True),
    ]


def normalisation(channels: int, norm: Norm) -> list[nn.Module]:
    """The layer, or nothing."""
    if norm == "none":
        return []
    return [nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(_GROUPS, channels)]


def double_convolution(
    inputs: int, outputs: int, *, padding: int | None = None, activation: Activation = "relu", norm: Norm = "none"
) -> nn.Sequential:
    """Two 3x3 convolutions: a level of a U-Net. padding, activation, norm: as `convolution` takes them."""
    first = convolution(inputs, outputs, padding=padding, activation=activation, norm=norm)
    return nn.Sequential(*first, *convolution(outputs, outputs, padding=padding, activation=activation, norm=norm))


def he_normal(module: nn.Module) -> None:
    """Normal weights of variance 2 / fan-in, which keeps the variance through ReLUs (He et al., arXiv:1502.01852);
    biases 0. For `nn.Module.apply`; other modules than convolutions are left alone."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        # A transposed convolution gives every output so many products of each input: kernel area over stride squared.
        taps = math.prod(module.kernel_size) / (math.prod(module.stride) if module.transposed else 1)
        nn.init.normal_(module.weight, std=math.sqrt(2 * module.groups / (taps * module.in_channels)))
        _no_bias(module)


def glorot_normal(module: nn.Module) -> None:
    """Normal weights of variance 2 / (fan-in + fan-out), biases 0. For `nn.Module.apply`, as `he_normal`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_normal_(module.weight)
        _no_bias(module)


def _no_bias(module: nn.Conv2d | nn.ConvTranspose2d) -> None:
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def pad(image: Tensor, multiple: int, *, margin: int = 0, beyond: int = 0) -> Tensor:
    """`image`, (B, C, H, W), with its edge repeated: `margin` rows and columns on every side, and below and to the
    right as many more as make H + `beyond` and W + `beyond` multiples.

    Repeated and not mirrored: a mirror image of a side shorter than the padding does not exist, and the gradient of
    mirroring is not deterministic on CUDA.
    """
    height, width = image.shape[-2:]
    below, right = -(height + beyond) % multiple, -(width + beyond) % multiple
    if not (margin or below or right):
        return image
    return F.pad(image, (margin, margin + right, margin, margin + below), mode="replicate")


class Concatenate(nn.Module):
    """The skip's channels before those from below; of a skip that is larger, its middle."""

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        (height, width), (tall, wide) = x.shape[-2:], skip.shape[-2:]
        top, left = (tall - height) // 2, (wide - width) // 2
        return torch.cat((skip[..., top : top + height, left : left + width], x), dim=1)


class EncoderDecoder(nn.Module):
    """Image to one logit per class and pixel.

    Takes float (B, channels, H, W), -1 to 1, which is uint8 / 127.5 - 1; colour in the order RGB. Returns (B, classes,
    H, W). H and W are at least 1 and otherwise free: `pad` brings the image to a size that halves evenly, and the
    logits are cut back.
    """

    first_weights = staticmethod(he_normal)
    """How the weights of every module are drawn."""

    def __init__(
        self,
        *,
        down: Iterable[nn.Module],
        up: Iterable[nn.Module],
        merge: Iterable[nn.Module],
        head: nn.Module,
        join: Iterable[nn.Module] | None = None,
        pool: nn.Module | None = None,
        shrink: int = 1,
        margin: int = 0,
        beyond: int = 0,
    ) -> None:
        """down: N levels from the image's size down; `pool` halves before each but the first (None: 2x2 maximum).
        up, join, merge: N - 1 each, from the lowest level up. `up` doubles; `join` takes (skip, what came up), None
        concatenates; `merge` takes what `join` returns. shrink: how many times smaller than the image the first level
        is. margin, beyond: see `pad`."""
        super().__init__()
        self.down = nn.ModuleList(down)
        self.up = nn.ModuleList(up)
        self.merge = nn.ModuleList(merge)
        self.head = head
        self.pool = pool or nn.MaxPool2d(2)
        self.join = nn.ModuleList(join or [Concatenate() for _ in self.up])
        self.multiple = shrink * 2 ** len(self.up)
        self.margin, self.beyond = margin, beyond
        if not next(self.parameters()).is_meta:  # there is nothing to draw, and torch would load its compiler for it
            self.apply(self.first_weights)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = pad(image, self.multiple, margin=self.margin, beyond=self.beyond)
        skips = []
        for level in self.down[:-1]:
            x = level(x)
            skips.append(x)
            x = self.pool(x)
        x = self.down[-1](x)
        for up, join, merge in zip(self.up, self.join, self.merge, strict=True):
            x = merge(join(skips.pop(), up(x)))
        return self.head(x)[..., :height, :width]
