"""What a training runs on: versions, processor, cores."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from smearsynth.cores import usable_cores


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
