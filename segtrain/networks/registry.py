"""Networks by name, what may stand before and behind any of them, and the weights that some begin with.

A network is a module that takes float (B, channels, H, W) of any size, values -1 to 1, and returns logits (B, classes,
H, W). Its options are the keyword arguments of its constructor, and their annotations what is allowed.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from segtrain.networks import smp_networks
from segtrain.networks.attention_unet import AttentionUNet
from segtrain.networks.checkpoint import load_weights
from segtrain.networks.compact import Compact
from segtrain.networks.deconvnet import DeconvNet
from segtrain.networks.efficientnet_lite import LearntEncoder
from segtrain.networks.lite_cells import LiteCells
from segtrain.networks.lite_unet import LiteUNet
from segtrain.networks.res_unet import ResUNet
from segtrain.networks.unet import UNet, UNetHalf
from segtrain.networks.unet_pp import UNetPlusPlus
from segtrain.networks.vgg_unet import VggUNet
from smearsynth.base.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """build: makes one from `classes`, `channels` and its options. study: where it comes from."""

    build: Callable[..., nn.Module]
    study: str


CELLS = "lite_cells"
"""The network that names single cells, each in a crop, and sees no whole image."""

MODELS = {
    "deconvnet": Architecture(DeconvNet, "study 1: deconvolution network for red cells"),
    "unet_half": Architecture(UNetHalf, "study 2: modified U-Net, the reference"),
    "unet": Architecture(UNet, "studies 3 and 4: original U-Net"),
    "res_unet": Architecture(ResUNet, "study 4: residual U-Net"),
    "vgg11_unet": Architecture(partial(VggUNet, 11), "study 4: TernausNet with VGG11"),
    "vgg16_unet": Architecture(partial(VggUNet, 16), "study 4: TernausNet with VGG16"),
    "attention_unet": Architecture(AttentionUNet, "study 4: Attention U-Net"),
    "unet_pp": Architecture(UNetPlusPlus, "beyond the studies: U-Net++"),
    "compact": Architecture(Compact, "beyond the studies: small, for short trainings"),
    "lite_unet": Architecture(LiteUNet, "beyond the studies: an encoder learnt on ImageNet, for blood of others"),
    CELLS: Architecture(LiteCells, "beyond the studies: the same encoder, names single cells"),
}


def build_model(name: str, *, classes: int, channels: int = 3, **options: Any) -> nn.Module:
    """A new network with weights drawn from torch's global generator. Raises UserError for a name, an option or a value
    that does not exist; its sentence begins with the key."""
    build, known = _build(name), _options(name)
    for option, value in options.items():
        if option not in known:
            raise UserError(f"{option}: {name} has no such option{_instead(option, known)}")
        _check_value(option, value, known[option].annotation)
    return build(classes=classes, channels=channels, **options)


def default_options(name: str) -> dict[str, Any]:
    """The options of a network and their defaults. UserError for a name that does not exist."""
    return {option: parameter.default for option, parameter in _options(name).items()}


_LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B (ITU-R BT.601), as image libraries turn colour to grey."""


class Adapted(nn.Module):
    """A network that is shown grey images, tells two classes by one output, or marks the parasite beside its classes;
    it takes RGB, (B, 3, H, W), -1 to 1, and returns logits as every network does.

    With `sigmoid` its two logits are 0 and what the network gives: their softmax is the sigmoid of that, cross-entropy
    is binary cross-entropy, and the larger one is where the sigmoid is over 1/2. So every loss and figure holds.

    With `parasite` the network's last output is the logit of a parasite's pixel. It comes back as one channel more only
    where `shows_parasite` is set, as training and `load_networks` do; to all others the network is one of its classes.
    """

    luma: Tensor

    def __init__(self, network: nn.Module, *, grey: bool, sigmoid: bool, parasite: bool) -> None:
        """network: for one channel where `grey`, with one class where `sigmoid`, one output more where `parasite`."""
        super().__init__()
        self.network, self.grey, self.sigmoid, self.parasite = network, grey, sigmoid, parasite
        self.shows_parasite = False
        self.register_buffer("luma", torch.tensor(_LUMA)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        if self.grey:
            image = (image * self.luma).sum(dim=1, keepdim=True)
        logits: Tensor = self.network(image)
        if self.parasite and not self.shows_parasite:
            logits = logits[:, :-1]
        return torch.cat((torch.zeros_like(logits[:, :1]), logits), dim=1) if self.sigmoid else logits


def show_parasite(model: nn.Module) -> bool:
    """Has a network return the logit of the parasite after those of its classes; whether it can."""
    can = isinstance(model, Adapted) and model.parasite
    if isinstance(model, Adapted):
        model.shows_parasite = can
    return can


def pretrained_part(model: nn.Module) -> VggUNet | None:
    """The part of a network that can begin with weights of others; None where it has none."""
    return next((part for part in model.modules() if isinstance(part, VggUNet)), None)


def load_pretrained(model: nn.Module, path: Path) -> None:
    """Puts the weights of a file as torchvision offers it, such as vgg16-397923af.pth, into a network that can begin
    with them; nothing is fetched.

    The file is read as tensors alone, and runs no code. UserError where it cannot be read, or is of another network.
    """
    part = pretrained_part(model)
    assert part is not None, "the config has checked it"
    state = load_weights(path, "model.pretrained")
    try:
        part.load_pretrained(state)
    except ValueError as error:
        raise UserError(
            f"model.pretrained: {path} does not fit, {error}: name torchvision's weights of VGG{part.layers} without "
            "batch normalisation, and leave model.width at 64."
        ) from None


def first_weights(model: nn.Module, name: str, pretrained: Path | None) -> str:
    """Puts the weights of others into a new network that can begin with them; a sentence for the log, "" of a network
    that cannot. name: of the network. pretrained: of VGG, None for none. UserError where they are not there, or are of
    another network."""
    if encoder := encoder_part(model):
        return encoder.load_encoder()
    if not pretrained_part(model):
        return ""
    if pretrained is None:
        return f"{name} trains from scratch: `model.pretrained` names no weights to begin with"
    load_pretrained(model, pretrained)
    return f"{name} begins with the weights in {pretrained}"


def encoder_part(model: nn.Module) -> LearntEncoder | None:
    """The part of a network whose encoder has learnt already, and learns at a rate of its own; None where it has
    none."""
    return next((part for part in model.modules() if isinstance(part, LearntEncoder)), None)


def _build(name: str) -> Callable[..., nn.Module]:
    if name.startswith(smp_networks.PREFIX):
        return partial(smp_networks.build, name)
    if name not in MODELS:
        raise UserError(f'name: there is no network "{name}"{_instead(name, MODELS)}')
    return MODELS[name].build


def _options(name: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(_build(name)).parameters
    return {key: parameter for key, parameter in parameters.items() if key not in ("classes", "channels")}


def _check_value(option: str, value: Any, kind: Any) -> None:
    choices = get_args(kind)
    if value in choices if choices else type(value) in ((float, int) if kind is float else (kind,)):
        return
    remedy = f"one of {', '.join(choices)}" if choices else f"of type {kind.__name__}"
    raise UserError(f"{option}: must be {remedy}, not {value!r}.")


def _instead(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given, list(known), n=1)
    if near:
        return f': did you mean "{near[0]}"?'
    return f": there are {', '.join(known)}." if known else ": it has none."
