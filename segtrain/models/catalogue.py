"""What `segtrain models` says of every network."""

from typing import Any

import torch

from segtrain import flops
from segtrain.models.registry import MODELS, build_model, default_options

CLASSES = 10
SIZE = (224, 224)


def catalogue() -> dict[str, dict[str, Any]]:
    """By name, with all defaults, for RGB and ten classes: parameters; gmac, 10 ** 9 multiply-adds of a forward pass
    over 224x224 px; study; options and their defaults. Nothing is computed: the networks are built without memory."""
    found = {}
    for name, architecture in MODELS.items():
        with torch.device("meta"):
            model = build_model(name, classes=CLASSES)
        forward, _ = flops.per_image(model, SIZE)
        found[name] = {
            "parameters": sum(p.numel() for p in model.parameters()),
            "gmac": forward / 2e9,
            "study": architecture.study,
            "options": default_options(name),
        }
    return found


def table(found: dict[str, dict[str, Any]]) -> str:
    """The catalogue for a person."""
    lines = [f"{'name':<16}{'parameters':>12}{'GMAC at 224':>13}  study"]
    lines += [f"{n:<16}{m['parameters']:>12,}{m['gmac']:>13.2f}  {m['study']}" for n, m in found.items()]
    lines += ["", "options and their defaults"]
    lines += [f"{n:<16}{', '.join(f'{o}: {v}' for o, v in m['options'].items())}" for n, m in found.items()]
    return "\n".join(lines)
