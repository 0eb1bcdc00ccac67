"""A network as it leaves segtrain: bytes in, probabilities out, and what its user must know of it beside it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from segtrain.data.samples import Classes
from segtrain.trained import Trained
from smearsynth.errors import UserError

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
