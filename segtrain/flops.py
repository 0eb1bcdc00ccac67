"""How much work an image is, and how much a device could do."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

PEAKS = {
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


def per_image(model: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
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


def known_peak(device: torch.device) -> float | None:
    """TFLOP/s of a device's data sheet; None for one that is not known, and for a CPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS.items() if part in name), None)
