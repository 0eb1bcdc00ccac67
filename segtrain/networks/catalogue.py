"""What `segtrain models` says of every network; how much work an image is, and how much a device could do."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segtrain.networks.registry import MODELS, build_model, default_options


def models() -> dict[str, dict[str, Any]]:
    """The networks by name, for RGB and ten classes, all else default: `parameters`; `gmac`, 10 ** 9 multiply-adds of a
    forward pass over 224x224 px; `study`; `options` and their defaults. They are built without memory or arithmetic.

    >>> segtrain.models()["unet_half"]["parameters"]
    7760394
    """
    found = {}
    for name, architecture in MODELS.items():
        with torch.device("meta"):
            model = build_model(name, classes=10)
        forward, _ = flops_per_image(model, (224, 224))
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


def flops_per_image(model: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Floating point operations (a multiply-add is two) for one image of `size` (height, width): of the forward pass,
    and of the forward and backward pass; convolutions and matrix products only, as torch counts them.

    model: is moved to the meta device, where nothing is computed.
    """
    model = model.to("meta").train()
    image = torch.empty(1, 3, *size, device="meta")
    with FlopCounterMode(display=False) as forward:
        logits = model(image)
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    return forward.get_total_flops(), forward.get_total_flops() + backward.get_total_flops()


_PEAKS = {
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "H200": 989,
    "GH200": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "RTX 4090": 165,
}
"""Dense bf16 matrix TFLOP/s with fp32 accumulation by part of the device's name, the first that fits; from the makers'
data sheets."""


def known_peak(device: torch.device) -> float | None:
    """TFLOP/s of a device's data sheet; None for one that is not known, and for a CPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)
