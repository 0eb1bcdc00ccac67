"""Networks by name. A network is a module that takes (B, channels, H, W) of any size, values -1 to 1, and returns
logits (B, classes, H, W); its options are the keyword arguments of its constructor."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, get_args

from torch import nn

from segtrain.models import library
from segtrain.models.attention_unet import AttentionUNet
from segtrain.models.compact import Compact
from segtrain.models.deconvnet import DeconvNet
from segtrain.models.res_unet import ResUNet
from segtrain.models.unet import UNet
from segtrain.models.unet_half import UNetHalf
from segtrain.models.unet_pp import UNetPlusPlus
from segtrain.models.vgg_unet import VggUNet
from smearsynth.errors import UserError


@dataclass(frozen=True)
class Architecture:
    """build: makes one from `classes`, `channels` and its options. study: where it comes from."""

    build: Callable[..., nn.Module]
    study: str


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


def _build(name: str) -> Callable[..., nn.Module]:
    if name.startswith(library.PREFIX):
        return partial(library.build, name)
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
