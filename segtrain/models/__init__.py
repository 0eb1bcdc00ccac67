"""Networks, one module each."""

from segtrain.models.registry import MODELS, build_model, default_options

__all__ = ["MODELS", "build_model", "default_options"]
