"""A whole split as uint8 in the memory of a GPU or of the host: read and inflated once, not once an epoch.

65,350 smears of 224 x 224 px are 13.1 GB, which one large GPU holds beside the network; no pool of workers is as fast.
"""

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from segtrain.data.samples import INSTANCE, Image, Label, Maps, Shards
from smearsynth.base.errors import UserError
from smearsynth.base.workers import usable_cores

_CHUNK = 512
"""Samples that are inflated before they are copied to a device together."""
_SHARE = 0.6
"""Of the free memory, what a set may take; the rest is for the network and its batches."""


class InMemoryDataset:
    """A split whose samples are all in memory.

    image: uint8 (N, H, W, 3) RGB, label: uint8 (N, H, W), and `maps`, more of them by name, all on `device`.
    """

    def __init__(self, shards: Shards, device: torch.device, *, workers: int, maps: Collection[str] = ()) -> None:
        """Reads the whole split with `workers` threads, 1 or more. maps: of `samples.MORE_MAPS`, those to hold, too.
        UserError where its images have several sizes."""
        height, width = shards.size
        self.size, self.device = shards.size, device
        self.image = torch.empty((len(shards), height, width, 3), dtype=torch.uint8, device=device)
        self.label = torch.empty((len(shards), height, width), dtype=torch.uint8, device=device)
        self.maps = {
            name: torch.empty(self.label.shape, dtype=torch.int32 if name == INSTANCE else torch.uint8, device=device)
            for name in maps
        }
        with ThreadPoolExecutor(workers) as pool:
            for first in range(0, len(shards), _CHUNK):
                rows = range(first, min(first + _CHUNK, len(shards)))
                images, labels = zip(*pool.map(shards.read, rows), strict=True)
                self.image[first : rows.stop] = torch.from_numpy(np.stack(images))
                self.label[first : rows.stop] = torch.from_numpy(np.stack(labels))
                more = list(pool.map(lambda i: shards.more_maps(i, maps), rows)) if maps else []
                for name, held in self.maps.items():
                    read = np.stack([found[name] for found in more])
                    held[first : rows.stop] = torch.from_numpy(read.astype(np.int32) if name == INSTANCE else read)

    def __len__(self) -> int:
        return len(self.label)

    @property
    def on_gpu(self) -> bool:
        """Whether it is in the memory of a GPU."""
        return self.device.type == "cuda"

    def read(self, i: int) -> tuple[Image, Label]:
        """Sample i as `Shards.read` gives it; from the host's memory only."""
        return self.image[i].numpy(), self.label[i].numpy()

    def more_maps(self, i: int, names: Collection[str]) -> Maps:
        """As `Shards.more_maps`; from the host's memory only."""
        kinds = {name: np.uint16 if name == INSTANCE else np.uint8 for name in names}
        return {name: self.maps[name][i].numpy().astype(kind, copy=False) for name, kind in kinds.items()}


def memory_for(shards: Shards, device: torch.device, maps: Collection[str] = ()) -> torch.device:
    """Where the whole split fits: `device`, else the host. maps: as `InMemoryDataset` takes them. UserError where it
    fits nowhere."""
    height, width = shards.size
    need = len(shards) * height * width * (4 + sum(4 if name == INSTANCE else 1 for name in maps))
    if device.type == "cuda" and need < _SHARE * torch.cuda.mem_get_info(device)[0]:
        return device
    free = _free_memory()
    if need < _SHARE * free:
        return torch.device("cpu")
    raise UserError(
        f"{shards.root}: its split {shards.split!r} takes {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB of "
        "memory are free: leave `resident` out."
    )


def held_in_memory(source: Shards, maps: Collection[str] = ()) -> Shards | InMemoryDataset:
    """A split that takes longer to make than to hold, in the host's memory where it fits there, else as it is."""
    try:
        memory_for(source, torch.device("cpu"), maps)
    except UserError:
        return source
    return InMemoryDataset(source, torch.device("cpu"), workers=usable_cores(), maps=maps)


def _free_memory() -> int:
    """Bytes of the host's memory that a program can have; all of it where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
