"""A run's folder: everything that one training leaves behind.

config.yaml     the resolved config, every default written out
metrics.csv     one row an epoch: epoch, step, lr, loss and pixel_accuracy as train_* and val_*, val_miou,
                val_foreground_dice, val_reference_accuracy, val_iou_KEY per class; equal to the bit for equal
                trainings on a CPU
speed.csv       one row an epoch: epoch, seconds, images, training_seconds, images_per_second, waiting_share
summary.json    written when the training ends: config hash, data, versions, machine, best epoch, why it ended
test.json       of a run of `segtrain compare`: what `evaluate` says of it on that split
last.pt         the training's whole state, to go on from; best.pt: the same at the best epoch
log.txt         what was said while it ran
*.png           curves, confusion matrix, gallery of best and worst samples
report.html     of `segtrain report`, with MODEL_CARD.md, which goes with the weights
tensorboard/    the rows of metrics.csv, where TensorBoard is installed
"""

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smearsynth.errors import UserError

CONFIG, METRICS, SPEED, SUMMARY = "config.yaml", "metrics.csv", "speed.csv", "summary.json"
LAST, BEST, LOG = "last.pt", "best.pt", "log.txt"

Row = Mapping[str, float | int]


@dataclass(frozen=True)
class Run:
    """The folder of one run."""

    folder: Path

    @property
    def last(self) -> Path:
        """The checkpoint to go on from."""
        return self.folder / LAST

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.folder / BEST

    def write_text(self, name: str, text: str) -> None:
        """Puts a file in its place as a whole."""
        part = self.folder / f"{name}.part"
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.folder / name)

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
        path = self.folder / SUMMARY
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
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def plain(value: Any) -> Any:
    """`value` with None for what JSON has no number for: nan, as of an absent class, and infinity."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
