"""How a training went, epoch by epoch."""

import csv
import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, MaxNLocator

from smearsynth.errors import UserError

Columns = dict[str, list[float]]

PANELS = (
    ("loss", ("loss",), "log"),
    ("accuracy", ("pixel_accuracy", "reference_accuracy"), "linear"),
    ("mIoU", ("miou",), "linear"),
    ("learning rate", ("lr",), "log"),
)
"""Title, measures and scale of each plot; a measure is a column, or a pair of them, train_* and val_*."""
_LINES = {"train_": "--", "val_": "-", "": "-"}


def read_columns(metrics: Path) -> Columns:
    """The columns of a run's metrics.csv by name; an empty cell is nan. UserError where it is missing, broken or
    empty."""
    try:
        with metrics.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        columns = {name: [float(row[name] or math.nan) for row in rows] for name in (rows[0] if rows else ())}
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{metrics} cannot be read ({error}); name the folder of a run that has trained.") from error
    if "epoch" not in columns:
        raise UserError(f"{metrics} holds no epoch; finish the run's first with `segtrain fit --resume`.")
    return columns


def draw_curves(columns: Columns, out: Path) -> None:
    """Writes a PNG of loss, accuracy, mIoU and learning rate over epochs; dashed is training, solid validation."""
    figure = Figure(figsize=(10, 7), dpi=110, layout="constrained")
    for axes, (title, measures, scale) in zip(figure.subplots(2, 2, sharex=True).flat, PANELS, strict=True):
        for number, measure in enumerate(measures):
            for prefix, line in _LINES.items():
                if f"{prefix}{measure}" in columns:
                    _draw(axes, columns["epoch"], columns[f"{prefix}{measure}"], f"C{number}", line, prefix + measure)
        axes.set(title=title, xlabel="epoch", yscale=scale)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if scale == "log":
            axes.yaxis.set_major_formatter(LogFormatter())
            axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.0, 0.4)))
        axes.grid(color="0.9")
        axes.legend(fontsize=8)
    figure.savefig(out)


def _draw(axes: Axes, epochs: list[float], values: list[float], colour: str, line: str, label: str) -> None:
    # A single epoch has no line: the dot shows it.
    axes.plot(epochs, values, color=colour, linestyle=line, marker=".", label=label.replace("_", " "))
