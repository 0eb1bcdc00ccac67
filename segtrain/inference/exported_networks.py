"""Networks as files for other programs: traced, described, written as ONNX, and predicted with by ONNX Runtime.

A file holds the whole way from bytes to probabilities, and what its user must know of it (classes, scale, origin) in
its metadata.
"""

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from segtrain.data.samples import Classes
from segtrain.inference.ready_networks import Networks, Probabilities, check_alike
from segtrain.training.device import threads
from segtrain.training.run_folder import Trained
from smearsynth.base.errors import UserError, first_line
from smearsynth.base.files import file_digest

FILE = "network.onnx"
_KEY = "segtrain"
_EXTRA = "needs the extra `onnx`: pip install 'smearsynth[onnx]'."
FORMAT_VERSION = 1
MULTIPLE = 32
"""Height and width of what an exported network takes are multiples of this, which every network halves evenly."""
LEAST = 64
"""The smallest of them: of one pixel at the lowest level, tracing would make a rule of its own."""


class Deployed(nn.Module):
    """uint8 RGB (B, 3, H, W) to float32 (B, classes, H, W) of sum 1; H and W multiples of 32, from 64 on."""

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
        model=trained.config.model.handed_on(),
        data_digest=trained.data_digest,
        epoch=trained.epoch,
        checkpoint=checkpoint,
        sha256=sha256,
    )


def program(network: nn.Module) -> ExportedProgram:
    """`Deployed`, traced for every batch and every size that it takes. network: in evaluation mode, on the CPU."""
    example = torch.zeros(2, 3, LEAST, LEAST + MULTIPLE, dtype=torch.uint8)
    height, width = (MULTIPLE * Dim(name, min=LEAST // MULTIPLE, max=512) for name in ("height", "width"))
    sizes = {0: Dim("batch", min=1, max=1024), 2: height, 3: width}
    return torch.export.export(Deployed(network).eval(), (example,), dynamic_shapes=(sizes,))


def to_onnx(traced: ExportedProgram, description: Description | None = None) -> bytes:
    """An ONNX file of a traced network, its description in its metadata. UserError without the extra."""
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError(f"ONNX {_EXTRA}") from None
    # The exporter tells of torchvision and of its own deprecations.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            traced, dynamo=True, verbose=False, input_names=["image"], output_names=["probability"]
        )
    assert made is not None
    if description:
        made.model.metadata_props[_KEY] = json.dumps(description.plain())
    return made.model_proto.SerializeToString()


def run_onnx(session: Any, image: Tensor) -> Tensor:
    """float32 (B, classes, H, W) of sum 1. image: uint8 (B, 3, H, W) of any size: its edge is repeated to one that is
    taken."""
    height, width = image.shape[-2:]
    below, right = (max(LEAST, -(-side // MULTIPLE) * MULTIPLE) - side for side in (height, width))
    padded = np.pad(image.cpu().numpy(), ((0, 0), (0, 0), (0, below), (0, right)), mode="edge")
    (found,) = session.run(None, {"image": padded})
    return torch.from_numpy(found[..., :height, :width])


def open_onnx(content: bytes | Path) -> Any:
    """A session of ONNX Runtime on the CPU, with as many threads as torch has. UserError where it is no network, or
    without the extra."""
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"onnx {_EXTRA}", "runtime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        source = content if isinstance(content, bytes) else str(content)
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    # Its errors share no class of their own.
    except Exception as error:
        raise UserError(f"{content!s:.200} cannot be read ({first_line(error)}): export the run again.") from None


def load_onnx(runs: Sequence[str | Path], *, tta: bool = False, batch: int | None = None) -> Networks:
    """As `load_networks`, of what `segtrain export` wrote: run folders that hold one, or files.

    Raises UserError also where the run has been trained on since.
    """
    opened = [_open(Path(run)) for run in runs]
    (_, first), *rest = opened
    for run, (_, other) in zip(runs[1:], rest, strict=True):
        check_alike((first.classes, first.um_per_px), (other.classes, other.um_per_px), names=(runs[0], run))
    return Networks(
        members=tuple(member for member, _ in opened),
        classes=first.classes,
        um_per_px=first.um_per_px,
        tta=tta,
        batch=batch or 1,
        device=f"CPU with {threads()}, ONNX Runtime, fp32",
        digests=tuple(description.sha256 for _, description in opened),
    )


def _open(run: Path) -> tuple[Probabilities, Description]:
    file = run / FILE if run.is_dir() else run
    if not file.is_file():
        raise UserError(f"{file} is missing: write it by `segtrain export {run} --format onnx`.")
    session = open_onnx(file)
    description = _read_description(session.get_modelmeta().custom_metadata_map.get(_KEY, "null"), str(file))
    checkpoint = run / description.checkpoint
    if run.is_dir() and checkpoint.is_file() and file_digest(checkpoint) != description.sha256:
        raise UserError(f"{file} is of another training than {checkpoint}: export the run again, over it.")
    return lambda image: run_onnx(session, image), description


def _read_description(metadata: str, name: str) -> Description:
    """What `Description.plain` gave, as JSON. UserError where it is of something else, or of a later version."""
    try:
        known = json.loads(metadata)
        version = known["format_version"]
        if version == FORMAT_VERSION:
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
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{name} was not written by `segtrain export`: export the run again.") from None
    raise UserError(
        f"{name} is of format version {version}, and this segtrain reads {FORMAT_VERSION}: export it again."
    )
