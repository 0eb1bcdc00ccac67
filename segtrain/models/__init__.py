"""Networks, one module each."""

from segtrain.models.adapted import Adapted
from segtrain.models.pretrained import load_pretrained, pretrained_part
from segtrain.models.registry import MODELS, Architecture, build_model, default_options

__all__ = [
    "MODELS",
    "Adapted",
    "Architecture",
    "build_model",
    "default_options",
    "load_pretrained",
    "pretrained_part",
]
