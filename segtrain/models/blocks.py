"""What networks are made of: sizes that halve evenly, convolutions in one style, the first weights."""

import math
from typing import Literal

import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor, nn

from smearsynth.errors import UserError

MAX_WIDTH = 1024
"""At which a U-Net has eight thousand million parameters: more is a slip of the hand, and no machine's memory."""
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
