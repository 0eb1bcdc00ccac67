"""A run's folder: everything that one training leaves behind.

config.yaml     the resolved config, every default written out
metrics.csv     one row an epoch: epoch, step, lr, loss and pixel_accuracy as train_* and val_*, val_miou,
                val_foreground_dice, val_reference_accuracy, val_iou_KEY per class, and where cells are learnt or
                watched what `CellNaming` reports; equal to the bit for equal trainings on a CPU
speed.csv       one row an epoch: epoch, seconds, images, training_seconds, images_per_second, waiting_share
summary.json    written when the training ends: config hash, data, versions, machine, best epoch, why it ended
operating_point.json  of `segtrain operate`: from which odds on a red cell is infected
test.json       of a run of `segtrain compare`: what `evaluate` says of it on that split; fields.json, on real fields
last.pt         the training's whole state, to go on from; best.pt: the same at the best epoch
log.txt         what was said while it ran
*.png           curves, confusion matrix, gallery of best and worst samples
report.html     of `segtrain report`, with MODEL_CARD.md, which goes with the weights
fields/         of a run that was tuned on annotated fields: their named cells, as a set
tensorboard/    the rows of metrics.csv, where TensorBoard is installed

`RunFolder` writes and reads its files, `load_trained` gives the network in it, ready to be used.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from segtrain.data.samples import Classes
from segtrain.networks import checkpoint
from segtrain.training.config import Config
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest, write_text

CONFIG, METRICS, SPEED, SUMMARY = "config.yaml", "metrics.csv", "speed.csv", "summary.json"
LAST, BEST, LOG, TENSORBOARD, FIELDS = "last.pt", "best.pt", "log.txt", "tensorboard", "fields"
WEIGHTS, DESCRIPTION = "model.safetensors", "config.json"
"""Of a folder that `segtrain export --format safetensors` wrote."""

Row = Mapping[str, float | int]


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def last(self) -> Path:
        """The checkpoint to go on from."""
        return self.path / LAST

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / BEST

    def write_text(self, name: str, text: str) -> None:
        """Puts a file in its place as a whole."""
        write_text(self.path / name, text, self.path / f"{name}.part")

    def write_table(self, name: str, rows: Sequence[Row]) -> None:
        """A CSV file with the keys of the first row as its header; numbers as Python writes them, to the last bit."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.write_text(name, text.getvalue())

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """`summary.json`. summary: as `plain` makes it."""
        self.write_text(SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")

    def read_summary(self) -> dict[str, Any]:
        """What `write_summary` wrote; empty before that. UserError where it is broken."""
        path = self.path / SUMMARY
        try:
            summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} cannot be read ({error}): remove it, and the run goes on from its state."
            ) from error
        return summary

    def log(self, line: str) -> None:
        """Adds a line to `log.txt`."""
        with (self.path / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def is_run(path: Path) -> bool:
    """Whether a network can be read there: a run's folder, one that `segtrain export` wrote, or its ONNX file."""
    return any((path / name).is_file() for name in (CONFIG, BEST, LAST, WEIGHTS)) or path.suffix == ".onnx"


def plain(value: Any) -> Any:
    """`value` with None for what JSON has no number for: nan, as of an absent class, and infinity."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained network.

    model: on the CPU, in evaluation mode, its weights the averaged ones where the training had them; takes what
    `Compute.logits` gives it. um_per_px: the scale it was trained at. fold: whether it learnt from some of the training
    and validation samples. epoch: after which it was saved, from 1. digest: sha256 of the file that its weights were
    read from.
    """

    model: nn.Module
    config: Config
    classes: Classes
    um_per_px: float
    data_digest: str
    fold: bool
    epoch: int
    digest: str


def load_trained(run: Path, which: Literal["best", "last"] = "best") -> Trained:
    """The network of a run: the averaged weights where it has them; or of a folder that `segtrain export` wrote as
    safetensors. UserError where there is none.

    Only the checkpoint is read, and it runs no code.
    """
    folder = RunFolder(Path(run))
    if (folder.path / WEIGHTS).is_file():
        return _load_weights(folder.path)
    if which == "best" and folder.last.is_file() and not folder.best.is_file():
        raise UserError(
            f"{folder.best} is missing: the run has not finished an epoch; take the last network instead",
            "which",
        )
    path = folder.best if which == "best" else folder.last
    state = checkpoint.load(path)
    try:
        identity = state["identity"]
        return _trained(
            state["ema"]["model"] if state["ema"] else state["model"],
            config=identity["config"],
            classes=Classes(**identity["classes"]),
            um_per_px=identity["um_per_px"],
            data_digest=identity["data_digest"],
            fold=bool(identity.get("fold_digest")),
            epoch=state["epoch"],
            digest=file_digest(path),
        )
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = checkpoint.in_short(error)
        raise UserError(
            f"{run}: its checkpoint is not one of this segtrain ({reason}): train the run again."
        ) from error


def _load_weights(folder: Path) -> Trained:
    try:
        known = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        keys, colours = (tuple(known["classes"][name]) for name in ("keys", "colours"))
        return _trained(
            load_file(folder / WEIGHTS),
            config=known["config"],
            classes=Classes(tuple(range(len(keys))), keys, colours),
            um_per_px=known["um_per_px"],
            data_digest=known["data_digest"],
            fold=False,
            epoch=known["epoch"],
            digest=file_digest(folder / WEIGHTS),
        )
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise UserError(
            f"{folder}: its {WEIGHTS} and {DESCRIPTION} are not what this segtrain exports "
            f"({checkpoint.in_short(error)}): export the run again."
        ) from error


def _trained(weights: Mapping[str, Tensor], *, config: Mapping[str, Any], classes: Classes, **facts: Any) -> Trained:
    """Raises what a wrong config, or weights of another network, raise."""
    known = Config.model_validate(config)
    model = known.model.build(classes=len(classes))
    model.load_state_dict(weights)
    return Trained(model=model.eval(), config=known, classes=classes, **facts)
