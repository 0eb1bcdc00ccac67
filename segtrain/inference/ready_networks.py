"""A network as it leaves segtrain: bytes in, probabilities out, and what its user must know of it beside it.

Networks as predicting needs them: pixels in, probabilities out, whoever computes them and however many there are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from segtrain.data.samples import Classes
from segtrain.training.device import Compute, choose
from segtrain.training.run_folder import Trained, load_trained
from smearsynth.base.errors import UserError

FORMAT_VERSION = 1
MULTIPLE = 32
"""Height and width of what an exported network takes are multiples of this, which every network halves evenly."""
LEAST = 64
"""The smallest of them: of one pixel at the lowest level, tracing would make a rule of its own."""


class Deployed(nn.Module):
    """u1 RGB (B, 3, H, W) to fp32 (B, classes, H, W) of sum 1; H and W multiples of 32, from 64 on."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        probability: Tensor = self.network(image.float() / 127.5 - 1).softmax(dim=1)
        return probability


@dataclass(frozen=True)
class Description:
    """What stands beside an exported network. checkpoint, sha256: the file that it was made of, by name and digest."""

    classes: Classes
    um_per_px: float
    model: dict[str, Any]
    data_digest: str
    epoch: int
    checkpoint: str
    sha256: str

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "format": "segtrain network",
            "format_version": FORMAT_VERSION,
            "input": f"image: u1 (batch, 3, height, width), RGB, 0-255; sides are multiples of {MULTIPLE}, from "
            f"{LEAST} px on; repeat the edge to get there, and cut the output",
            "output": "probability: f4 (batch, classes, height, width), of sum 1",
            "um_per_px": self.um_per_px,
            "classes": {"keys": self.classes.keys, "colours": self.classes.colours},
            "model": self.model,
            "data_digest": self.data_digest,
            "epoch": self.epoch,
            "checkpoint": {"name": self.checkpoint, "sha256": self.sha256},
        }


def describe(trained: Trained, checkpoint: str, sha256: str) -> Description:
    """Of the network in a file of that name and digest."""
    return Description(
        classes=trained.classes,
        um_per_px=trained.um_per_px,
        model=trained.config.model.model_dump(),
        data_digest=trained.data_digest,
        epoch=trained.epoch,
        checkpoint=checkpoint,
        sha256=sha256,
    )


def read_description(known: Any, name: str) -> Description:
    """What `plain` gave. UserError where it is of something else, or of a later version."""
    try:
        if known["format_version"] != FORMAT_VERSION:
            raise UserError(
                f"{name} is of format version {known['format_version']}, and this segtrain reads {FORMAT_VERSION}: "
                "export it again."
            )
        keys, colours = (tuple(known["classes"][key]) for key in ("keys", "colours"))
        return Description(
            classes=Classes(tuple(range(len(keys))), keys, colours),
            um_per_px=float(known["um_per_px"]),
            model=known["model"],
            data_digest=known["data_digest"],
            epoch=known["epoch"],
            checkpoint=known["checkpoint"]["name"],
            sha256=known["checkpoint"]["sha256"],
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name} was not written by `segtrain export`: export the run again.") from None


def program(network: nn.Module) -> ExportedProgram:
    """`Deployed`, traced for every batch and every size that it takes. network: in evaluation mode, on the CPU."""
    example = torch.zeros(2, 3, LEAST, LEAST + MULTIPLE, dtype=torch.uint8)
    height, width = (MULTIPLE * Dim(name, min=LEAST // MULTIPLE, max=512) for name in ("height", "width"))
    sizes = {0: Dim("batch", min=1, max=1024), 2: height, 3: width}
    return torch.export.export(Deployed(network).eval(), (example,), dynamic_shapes=(sizes,))


Probabilities = Callable[[Tensor], Tensor]
"""u1 (B, 3, H, W) RGB to fp32 (B, classes, H, W) of sum 1, on any device."""
_BATCH = {"cpu": 1, "cuda": 8}
"""Tiles that are computed at once, by device; on a CPU more of them take memory and no less time."""


@dataclass(frozen=True)
class Networks:
    """One network, or several of one taxonomy and scale, whose probabilities are averaged.

    um_per_px: the scale that they were trained at. symmetries: whether each sees a tile in all eight, turned and
    mirrored. batch: tiles at a time. device: where and how they are computed, in words.
    """

    members: tuple[Probabilities, ...]
    classes: Classes
    um_per_px: float
    symmetries: bool = False
    batch: int = 1
    device: str = "CPU"

    def __call__(self, image: Tensor) -> Tensor:
        """fp32 (B, classes, H, W) on the CPU, of sum 1. image: u1 (B, 3, H, W) RGB of `um_per_px`, any size."""
        views = range(8) if self.symmetries else range(1)
        with torch.inference_mode():
            found = (_back(member(_turned(image, view)), view) for member in self.members for view in views)
            total = reduce(torch.add, found)
            return (total / (len(self.members) * len(views))).cpu()


def load_networks(
    runs: Sequence[str | Path],
    *,
    which: Literal["best", "last"] = "best",
    symmetries: bool = False,
    batch: int | None = None,
    device: str = "auto",
) -> Networks:
    """The networks of one or more runs, on the device. batch: None is what suits the device.

    Raises UserError: a run that cannot be read, runs of different classes or scales, no such device.
    """
    trained = [load_trained(Path(run), which) for run in runs]
    first, *rest = trained
    for run, other in zip(runs[1:], rest, strict=True):
        check_alike((first.classes, first.um_per_px), (other.classes, other.um_per_px), names=(runs[0], run))
    compute = [choose(amp=t.config.amp, channels_last=t.config.channels_last, device=device) for t in trained]
    return Networks(
        members=tuple(of_network(t, c) for t, c in zip(trained, compute, strict=True)),
        classes=first.classes,
        um_per_px=first.um_per_px,
        symmetries=symmetries,
        batch=batch or _BATCH[compute[0].device.type],
        device=str(compute[0]),
    )


def of_network(trained: Trained, compute: Compute) -> Probabilities:
    """A network on its device."""
    logits = partial(compute.logits, compute.place(trained.model))
    return lambda image: logits(image).softmax(dim=1)


def check_alike(
    one: tuple[Classes, float], other: tuple[Classes, float], *, names: tuple[str | Path, str | Path]
) -> None:
    """UserError where probabilities of two networks cannot be averaged: other classes, or another scale in um/px."""
    classes, um_per_px = one
    if other[0].keys != classes.keys:
        raise UserError(
            f"{names[1]} tells {', '.join(other[0].keys)} apart, and {names[0]} {', '.join(classes.keys)}: "
            "networks that predict together must have the same classes; leave one out."
        )
    if other[1] != um_per_px:
        raise UserError(
            f"{names[1]} was trained at {other[1]:g} um/px, and {names[0]} at {um_per_px:g}: networks that predict "
            "together must have the same scale; leave one out."
        )


def _turned(image: Tensor, view: int) -> Tensor:
    """One of the eight symmetries of (..., H, W): `view` % 4 quarter turns, mirrored before from 4 on."""
    image = image.flip(-1) if view >= 4 else image
    return torch.rot90(image, view % 4, (-2, -1)) if view % 4 else image


def _back(turned: Tensor, view: int) -> Tensor:
    """Undoes `_turned`."""
    image = torch.rot90(turned, -(view % 4), (-2, -1)) if view % 4 else turned
    return image.flip(-1) if view >= 4 else image
