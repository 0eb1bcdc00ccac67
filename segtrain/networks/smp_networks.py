"""Networks of segmentation_models_pytorch (extra `smp`) by `smp:ARCHITECTURE/ENCODER`, as in `smp:Unet/resnet34`.

They train from scratch: pretrained encoders would be fetched from the network while a training starts.
"""

from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from segtrain.networks.blocks import pad
from segtrain.networks.checkpoint import in_short
from smearsynth.base.errors import UserError

PREFIX = "smp:"
_MULTIPLE = 32
"""Of an image's sides, which every architecture of the library takes."""
_OF_TIMM = "tu-"
"""Begins the name of an encoder of timm, of which the library has no list."""
_REMEDY = "pip install 'smearsynth[smp]'"


class Padded(nn.Module):
    """A network of the library for images of any size: their edge is repeated, the logits cut back."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        logits: Tensor = self.network(pad(image, _MULTIPLE))
        return logits[..., :height, :width]


def build(name: str, *, classes: int, channels: int = 3) -> nn.Module:
    """A new network, as `name` says. UserError where the library is not there, does not fit this torch, or has no such
    network; its sentence begins with the key."""
    wanted, _, encoder = name.removeprefix(PREFIX).partition("/")
    if not encoder:
        raise UserError(f'name: "{name}" must read {PREFIX}ARCHITECTURE/ENCODER, as in {PREFIX}Unet/resnet34.')
    smp = _library(name)
    architectures = {kind.__name__.lower(): kind.__name__ for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    if wanted.lower() not in architectures:
        raise UserError(f'name: there is no architecture "{wanted}": there are {", ".join(architectures.values())}.')
    encoders = smp.encoders.get_encoder_names()
    if encoder not in encoders and not encoder.startswith(_OF_TIMM):
        near = get_close_matches(encoder, encoders, n=1) or ["resnet34"]
        raise UserError(f'name: there is no encoder "{encoder}": did you mean "{PREFIX}{wanted}/{near[0]}"?')
    try:
        network = smp.create_model(wanted, encoder, encoder_weights=None, in_channels=channels, classes=classes)
    except (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"name: {name} cannot be made ({in_short(error)}): take another encoder.") from error
    return Padded(network)


def _library(name: str) -> Any:
    try:
        import segmentation_models_pytorch as smp
    except ModuleNotFoundError as error:
        raise UserError(f"name: {name} needs {error.name}, which is not installed: {_REMEDY}.") from None
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        # Its compiled parts are made for one build of torch, and say so in words of their own.
        raise UserError(
            f"name: {name} cannot be had, since the segmentation_models_pytorch, timm or torchvision here does not fit "
            f"torch {torch.__version__} ({in_short(error)}): install the torchvision that belongs to it."
        ) from error
    return smp
