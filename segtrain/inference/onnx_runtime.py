"""ONNX: a network written for other runtimes, and predicted with by one of them."""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

from segtrain.inference.ready_networks import (
    LEAST,
    MULTIPLE,
    Description,
    Networks,
    Probabilities,
    check_alike,
    read_description,
)
from segtrain.training.device import threads
from smearsynth.base.errors import UserError, first_line
from smearsynth.base.files import file_digest

FILE = "network.onnx"
_KEY = "segtrain"
_EXTRA = "needs the extra `onnx`: pip install 'smearsynth[onnx]'."


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
    """fp32 (B, classes, H, W) of sum 1. image: u1 (B, 3, H, W) of any size: its edge is repeated to one that is
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
        raise UserError(f"--runtime onnx {_EXTRA}") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        source = content if isinstance(content, bytes) else str(content)
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    # Its errors share no class of their own.
    except Exception as error:
        raise UserError(f"{content!s:.200} cannot be read ({first_line(error)}): export the run again.") from None


def load_onnx(runs: Sequence[str | Path], *, symmetries: bool = False, batch: int | None = None) -> Networks:
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
        symmetries=symmetries,
        batch=batch or 1,
        device=f"CPU with {threads()}, ONNX Runtime, fp32",
    )


def _open(run: Path) -> tuple[Probabilities, Description]:
    file = run / FILE if run.is_dir() else run
    if not file.is_file():
        raise UserError(f"{file} is missing: write it by `segtrain export {run} --format onnx`.")
    session = open_onnx(file)
    known = session.get_modelmeta().custom_metadata_map.get(_KEY, "null")
    try:
        description = read_description(json.loads(known), str(file))
    except json.JSONDecodeError:
        raise UserError(f"{file} was not written by `segtrain export`: export the run again.") from None
    checkpoint = run / description.checkpoint
    if run.is_dir() and checkpoint.is_file() and file_digest(checkpoint) != description.sha256:
        raise UserError(f"{file} is of another training than {checkpoint}: export the run again, with --overwrite.")
    return lambda image: run_onnx(session, image), description
