"""Weights that a network may begin with, out of a file that the user names; nothing is fetched."""

from pathlib import Path

from torch import nn

from segtrain.networks import checkpoint
from segtrain.networks.vgg_unet import VggUNet
from smearsynth.base.errors import UserError


def pretrained_part(model: nn.Module) -> VggUNet | None:
    """The part of a network that can begin with pretrained weights; None where it has none."""
    return next((part for part in model.modules() if isinstance(part, VggUNet)), None)


def load_pretrained(model: nn.Module, path: Path) -> None:
    """Puts the weights of a file as torchvision offers it, such as vgg16-397923af.pth, into the network.

    The file is read as tensors alone, and runs no code. UserError where it cannot be read, or is of another network.
    """
    part = pretrained_part(model)
    assert part is not None, "the config has checked it"
    state = checkpoint.load_weights(path)
    try:
        part.load_pretrained(state)
    except ValueError as error:
        raise UserError(
            f"model.pretrained: {path} does not fit, {error}: name torchvision's weights of VGG{part.layers} without "
            "batch normalisation, and leave model.width at 64."
        ) from None
