"""Networks by name. A network is a module that takes (B, channels, H, W) of any size, values -1 to 1, and returns
logits (B, classes, H, W); its options are the keyword arguments of its constructor."""

import inspect
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, get_args

from torch import nn

from segtrain.models.unet_half import UNetHalf
from smearsynth.errors import UserError

MODELS: dict[str, Callable[..., nn.Module]] = {"unet_half": UNetHalf}


def build_model(name: str, *, classes: int, channels: int = 3, **options: Any) -> nn.Module:
    """A new network with weights drawn from torch's global generator. Raises UserError for a name, an option or a value
    that does not exist; its sentence begins with the key."""
    if name not in MODELS:
        raise UserError(f'name: there is no network "{name}"{_instead(name, MODELS)}')
    known = _options(name)
    for option, value in options.items():
        if option not in known:
            raise UserError(f"{option}: {name} has no such option{_instead(option, known)}")
        choices = get_args(known[option].annotation)
        fits = value in choices if choices else type(value) is known[option].annotation
        if not fits:
            remedy = f"one of {', '.join(choices)}" if choices else f"of type {known[option].annotation.__name__}"
            raise UserError(f"{option}: must be {remedy}, not {value!r}.")
    return MODELS[name](classes=classes, channels=channels, **options)


def default_options(name: str) -> dict[str, Any]:
    """The options of a network and their defaults."""
    return {option: parameter.default for option, parameter in _options(name).items()}


def _options(name: str) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(MODELS[name]).parameters
    return {key: parameter for key, parameter in parameters.items() if key not in ("classes", "channels")}


def _instead(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given, list(known), n=1)
    return f': did you mean "{near[0]}"?' if near else f": there are {', '.join(known)}."
