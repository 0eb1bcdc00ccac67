"""A run's figures for TensorBoard, where it is installed."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

FOLDER = "tensorboard"


def installed() -> bool:
    """Whether scalars can be written."""
    return find_spec("tensorboard") is not None


class Scalars:
    """Writes one row of metrics.csv after another. From `epoch` on, what an interrupted training wrote is dropped."""

    def __init__(self, run: Path, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / FOLDER), purge_step=epoch)

    def add(self, row: Mapping[str, float | int]) -> None:
        """row: column to value; train_* and val_* of a measure share a plot's name, `measure/train`."""
        for column, value in row.items():
            if column not in ("epoch", "step"):
                prefix, _, measure = column.partition("_")
                tag = f"{measure}/{prefix}" if prefix in ("train", "val") else column
                self._writer.add_scalar(tag, value, int(row["epoch"]))
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()
