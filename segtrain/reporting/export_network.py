"""A trained network written for those who have no segtrain: ONNX, torch.export, safetensors."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import torch

from segtrain.inference.exported_networks import FILE, MULTIPLE, Description, describe, program, to_onnx
from segtrain.inference.prediction_files import check_new, new_files
from segtrain.reporting.model_card import model_card
from segtrain.training.run_folder import BEST, LAST, Trained, load_trained
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest

Format = Literal["onnx", "torch-export", "safetensors"]
NAMES: dict[Format, tuple[str, ...]] = {
    "onnx": (FILE,),
    "torch-export": ("network.pt2",),
    "safetensors": ("model.safetensors", "config.json", "README.md"),
}
"""The files of each format."""
FOLDER = "safetensors"
DESCRIPTION = "segtrain.json"
"""In a torch.export file: what describes it."""


@dataclass(frozen=True)
class ExportedNetwork:
    """files: those that were written."""

    files: tuple[Path, ...]
    description: Description


def export(
    run: str | Path,
    *,
    format: Format,
    out: str | Path | None = None,
    which: Literal["best", "last"] = "best",
    overwrite: bool = False,
) -> ExportedNetwork:
    """Writes the network of `run` into the folder `out`; None is the run's own, for safetensors a folder in it.

    onnx and torch-export hold `inference.exported_networks.Deployed`, for every batch and size, with its description;
    safetensors the weights by name, beside them config.json and a card. overwrite: replace files that are there. Raises
    UserError.
    """
    run = Path(run)
    if format == "safetensors" and which == "last":
        raise UserError(
            "safetensors come with the run's model card, which is of its best network: leave it out", "which"
        )
    folder = Path(out) if out else run / FOLDER if format == "safetensors" else run
    files = [folder / name for name in NAMES[format]]
    check_new(files, overwrite=overwrite)
    trained = load_trained(run, which)
    checkpoint = run / (BEST if which == "best" else LAST)
    description = describe(trained, checkpoint.name, file_digest(checkpoint))
    folder.mkdir(parents=True, exist_ok=True)
    with new_files(files) as opened:
        _write(format, run, trained, description, opened)
    return ExportedNetwork(tuple(files), description)


def _write(format: Format, run: Path, trained: Trained, description: Description, files: list[BinaryIO]) -> None:
    if format == "onnx":
        files[0].write(to_onnx(program(trained.model), description))
    elif format == "torch-export":
        extra = {DESCRIPTION: json.dumps(description.plain())}
        torch.export.save(program(trained.model), files[0], extra_files=extra)
    else:
        weights, config, card = files
        weights.write(_safetensors(trained))
        config.write((json.dumps(description.plain(), indent=2) + "\n").encode())
        card.write(_card(run).encode())


def _safetensors(trained: Trained) -> bytes:
    try:
        from safetensors.torch import save
    except ImportError:
        raise UserError(
            "safetensors needs the extra `safetensors`: pip install 'smearsynth[safetensors]'", "format"
        ) from None
    weights = {name: tensor.contiguous() for name, tensor in trained.model.state_dict().items()}
    return save(weights, metadata={"format": "pt"})


def _card(run: Path) -> str:
    """The run's model card, and how its weights are read."""
    return f"""{model_card(run)}
## How to use the weights

Values of an image enter the network as `image / 127.5 - 1`; softmax over its logits gives the probability of each
class. Sides that are multiples of {MULTIPLE} are taken as they are, others are padded inside.

```python
import json
from safetensors.torch import load_file
from segtrain.training.config import ModelSpec

known = json.load(open("config.json"))
network = ModelSpec.model_validate(known["model"]).build(classes=len(known["classes"]["keys"])).eval()
network.load_state_dict(load_file("model.safetensors"))
```
"""
