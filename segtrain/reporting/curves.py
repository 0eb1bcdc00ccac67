"""How a training went, epoch by epoch."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter, MaxNLocator

from segtrain.evaluation.figures import NAMES
from smearsynth.base.errors import UserError

Columns = dict[str, list[float]]

PANELS = (
    ("loss", ("loss",), "log"),
    ("accuracy", ("pixel_accuracy", "reference_accuracy"), "linear"),
    ("mIoU", ("miou",), "linear"),
    ("learning rate", ("lr",), "log"),
)
"""Title, measures and scale of each plot; a measure is a column, or a pair of them, train_* and val_*."""
_LINES: dict[str, Literal["-", "--"]] = {"train_": "--", "val_": "-", "": "-"}


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
    """Writes a PNG of `curves`."""
    curves(columns).savefig(out)


def curves(columns: Columns) -> Figure:
    """Loss, accuracy, mIoU and learning rate over epochs; dashed is training, solid validation."""
    figure = Figure(figsize=(10, 7), dpi=110, layout="constrained")
    for axes, (title, measures, scale) in zip(figure.subplots(2, 2, sharex=True).flat, PANELS, strict=True):
        for number, measure in enumerate(measures):
            for prefix, line in _LINES.items():
                if f"{prefix}{measure}" in columns:
                    label = prefix.replace("_", " ") + NAMES.get(measure, measure)
                    _draw(axes, columns["epoch"], columns[f"{prefix}{measure}"], f"C{number}", line, label)
        axes.set(title=title, xlabel="epoch", yscale=scale)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _grid(axes, scale)
        axes.legend(fontsize=8)
    return figure


@dataclass(frozen=True)
class Course:
    """How one of several trainings went. columns: of its metrics.csv. images: that it has seen in all."""

    name: str
    columns: Columns
    images: int

    @property
    def seen(self) -> list[float]:
        """Images that it had seen after each epoch."""
        epochs = self.columns["epoch"]
        return [self.images * epoch / epochs[-1] for epoch in epochs]


def draw_courses(courses: Sequence[Course], out: Path) -> None:
    """Writes a PNG of loss and mIoU of several trainings over the images they saw; dashed is training, solid
    validation. Each loss is the training's own."""
    figure = Figure(figsize=(12, 5), dpi=110, layout="constrained")
    panels = zip(figure.subplots(1, 2), (PANELS[0], PANELS[2]), strict=True)
    colours = colormaps["tab10" if len(courses) <= 10 else "tab20"]
    for axes, (title, (measure,), scale) in panels:
        for number, course in enumerate(courses):
            colour = to_hex(colours(number % colours.N))
            for prefix, line in _LINES.items():
                values = course.columns.get(f"{prefix}{measure}")
                if values:
                    label = course.name if prefix == "val_" else "_"
                    axes.plot(course.seen, values, color=colour, linestyle=line, marker=".", markersize=4, label=label)
        axes.set(title=title, xlabel="training images seen", yscale=scale)
        _grid(axes, scale)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    styles = [Line2D([], [], color="0.3", linestyle=_LINES[f"{part}_"]) for part in ("train", "val")]
    figure.legend(
        handles=[*handles, *styles],
        labels=[*labels, "training", "validation"],
        loc="outside lower center",
        ncols=min(len(courses) + 2, 6),
        fontsize=8,
        frameon=False,
    )
    figure.savefig(out)


class _Plain(LogFormatter):
    """0.3 and not 3e-01, at the ticks that a LogFormatter names."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def _grid(axes: Axes, scale: str) -> None:
    if scale == "log":
        axes.yaxis.set_major_formatter(_Plain())
        axes.yaxis.set_minor_formatter(_Plain(minor_thresholds=(1.0, 0.4)))
    axes.grid(color="0.9")


def _draw(axes: Axes, epochs: list[float], values: list[float], colour: str, line: str, label: str) -> None:
    # A single epoch has no line: the dot shows it.
    axes.plot(epochs, values, color=colour, linestyle=line, marker=".", label=label)
