"""Where and how a network is computed: device, number format, memory layout; and what the machine and its software are.

On a CPU that multiplies bf16 in hardware and on every recent GPU, bf16 with channels last is the fastest way to run
a convolutional network (here 2.7 times fp32 on two cores), and bf16 has the range of fp32, so nothing needs scaling.
Weights, loss and metrics stay in fp32.
"""

import platform
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from smearsynth.base.errors import UserError
from smearsynth.base.images import size_text
from smearsynth.base.workers import usable_cores

Amp = Literal["auto", "off", "bf16"]


@dataclass(frozen=True)
class Compute:
    """device: where. bf16: whether products are in bf16. channels_last: whether a pixel's channels lie together."""

    device: torch.device
    bf16: bool
    channels_last: bool

    def place(self, model: nn.Module) -> nn.Module:
        """`model` on the device, in the memory layout."""
        return model.to(device=self.device, memory_format=self._layout)  # type: ignore[call-overload]

    def placed(self, model: nn.Module) -> Callable[[Tensor], Tensor]:
        """`logits` of `model`, which is placed: uint8 (B, 3, H, W) to float32 (B, classes, H, W)."""
        return partial(self.logits, self.place(model))

    def logits(self, model: nn.Module, image: Tensor) -> Tensor:
        """float32 (B, classes, H, W) of `image`, uint8 (B, 3, H, W), which enters the network as -1 to 1. UserError
        where it is one image, so small that batch normalisation has a single value to learn from."""
        pixels = image.to(self.device, torch.float32, non_blocking=True).contiguous(memory_format=self._layout)
        context = torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()
        with context:
            try:
                logits: Tensor = model(pixels / 127.5 - 1)
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise UserError(
                    f"a batch of one image of {size_text(image.shape[-2:])} px leaves batch normalisation a single "
                    "value where the network is narrowest; choose a `batch` that leaves none of one image over, or "
                    "larger images"
                ) from None
        return logits.float()

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else f"CPU with {threads()}"
        precision = "bf16 products, fp32 weights and loss" if self.bf16 else "fp32"
        return f"{name}, {precision}, {'channels last' if self.channels_last else 'channels first'}"


def choose(*, amp: Amp = "auto", channels_last: bool = True, device: str = "auto", local: int = 0) -> Compute:
    """The fastest that this machine has, within what is asked for. UserError where it has not what is asked for.

    device: "auto", "cpu", "cuda". local: number of the GPU to take on this machine.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for and this machine shows torch no GPU: set `device: auto` or `cpu`.")
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpu and local >= torch.cuda.device_count():
        raise UserError(f"There are {torch.cuda.device_count()} GPUs here: start no more processes than that.")
    place = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(place)
    return Compute(place, amp == "bf16" or (amp == "auto" and _has_bf16(place)), channels_last)


def _has_bf16(device: torch.device) -> bool:
    """Whether bf16 is done in hardware; in software it is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def versions() -> dict[str, str]:
    """Of Python and of what decides figures."""
    packages = ("smearsynth", "torch", "numpy", "h5py", "isal", "albumentations")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def machine() -> dict[str, Any]:
    """System, processor, cores that this process may use, threads that torch uses, names of the GPUs."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def threads() -> str:
    """How many threads torch computes with, in words."""
    count = torch.get_num_threads()
    return f"{count} thread{'s' * (count > 1)}"
