"""A trained network written for those who have no segtrain: ONNX, torch.export, safetensors."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from safetensors.torch import save

from segtrain.inference.exported_networks import FILE, MULTIPLE, Description, describe, program, to_onnx
from segtrain.inference.operating_point import OperatingPoint
from segtrain.inference.prediction_files import check_new, new_files
from segtrain.pretrained import CARD, CELLS, FINDER
from segtrain.reporting.model_card import model_card
from segtrain.training.config import Config
from segtrain.training.run_folder import BEST, DESCRIPTION, LAST, WEIGHTS, Trained, load_trained
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest

Format = Literal["onnx", "torch-export", "safetensors"]
NAMES: dict[Format, tuple[str, ...]] = {
    "onnx": (FILE,),
    "torch-export": ("network.pt2",),
    "safetensors": (WEIGHTS, DESCRIPTION, "README.md"),
}
"""The files of each format."""
FOLDER = "safetensors"
EXTRA_FILE = "segtrain.json"
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
    half: bool = False,
    overwrite: bool = False,
) -> ExportedNetwork:
    """Writes the network of `run` into the folder `out`; None is the run's own, for safetensors a folder in it.

    format: "onnx" and "torch-export" hold `inference.exported_networks.Deployed`, for every batch and size, with its
    description; "safetensors" the weights by name, beside them config.json, a card and the run's operating point: such
    a folder is taken wherever a run is. half: safetensors in half precision, half as large. which: the network of the
    best epoch or of the last. overwrite: replace files that are there. Raises UserError.

    >>> [file.name for file in segtrain.export("runs/first", format="safetensors").files]
    ['model.safetensors', 'config.json', 'README.md']
    """
    run = Path(run)
    if format == "safetensors" and which == "last":
        raise UserError(
            "safetensors come with the run's model card, which is of its best network: leave it out", "which"
        )
    if half and format != "safetensors":
        raise UserError(f"{format} is written in full precision: leave it out", "half")
    folder = Path(out) if out else run / FOLDER if format == "safetensors" else run
    files = [folder / name for name in NAMES[format]]
    check_new(files, overwrite=overwrite)
    trained = load_trained(run, which)
    checkpoint = run / (BEST if which == "best" else LAST)
    description = describe(trained, checkpoint.name, file_digest(checkpoint))
    folder.mkdir(parents=True, exist_ok=True)
    with new_files(files) as opened:
        _write(format, run, trained, description, opened, half=half)
    point = OperatingPoint.load(run) if format == "safetensors" else None
    if point is not None and point.epoch == trained.epoch:
        point.save(folder)
    return ExportedNetwork(tuple(files), description)


def _write(
    format: Format, run: Path, trained: Trained, description: Description, files: list[BinaryIO], *, half: bool
) -> None:
    if format == "onnx":
        files[0].write(to_onnx(program(trained.model), description))
    elif format == "torch-export":
        extra = {EXTRA_FILE: json.dumps(description.plain())}
        torch.export.save(program(trained.model), files[0], extra_files=extra)
    else:
        weights, config, card = files
        weights.write(_safetensors(trained, half=half))
        known = description.plain() | {"config": _handed_on(trained.config)}
        config.write((json.dumps(known, indent=2) + "\n").encode())
        card.write(_card(run).encode())


def _handed_on(config: Config) -> dict[str, Any]:
    """What decides the network, less what is of the machine it was trained on: the same pixels get the same names on a
    CPU with bf16 and on one without, and nobody else has the folder with whose weights it began."""
    plain = config.deciding() | {"amp": "off", "device": "auto", "model": config.model.handed_on()}
    if config.start:
        plain["start"] = Path(config.start).absolute().name
    return plain


def _safetensors(trained: Trained, *, half: bool) -> bytes:
    weights = {name: tensor.contiguous() for name, tensor in trained.model.state_dict().items()}
    if half:
        # Only matrices and kernels, which are nearly all: variances of a normalisation span more than a half can.
        weights = {name: tensor.half() if tensor.ndim > 1 else tensor for name, tensor in weights.items()}
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


def weights() -> dict[str, Any]:
    """networks: of each that comes with the package name, use, model, parameters, bytes, sha256 of the weights, digest
    of the set that it was trained on, epoch. card: path of their model card.

    >>> list(segtrain.weights())
    ['networks', 'card']
    """
    found = []
    for folder, use in ((FINDER, "finds cells"), (CELLS, "names each cell on a crop of its own")):
        trained, file = load_trained(folder), folder / WEIGHTS
        found.append(
            {
                "name": folder.name,
                "use": use,
                "model": trained.config.model.name,
                "parameters": sum(p.numel() for p in trained.model.parameters()),
                "bytes": file.stat().st_size,
                "sha256": trained.digest,
                "data_digest": trained.data_digest,
                "epoch": trained.epoch,
            }
        )
    return {"networks": found, "card": str(CARD)}
