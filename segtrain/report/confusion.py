"""The confusion matrix as a picture: what share of each class was taken for which."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure


def draw_confusion(matrix: npt.NDArray[np.int64], keys: Sequence[str], out: Path) -> None:
    """Writes a PNG. matrix: i8 (C, C), pixels, rows truth, columns prediction. keys: C names.

    A cell shows its share of the row and, below, its pixels; the row of an absent class stays grey.
    """
    total = matrix.sum(axis=1, keepdims=True)
    share = np.where(total > 0, matrix / np.maximum(total, 1), np.nan)
    size = 2.5 + 0.8 * len(keys)
    figure = Figure(figsize=(size, size), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("0.85")
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    for (row, column), pixels in np.ndenumerate(matrix):
        if total[row] > 0 and pixels:
            text = f"{share[row, column]:.1%}\n{short(int(pixels))}"
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    ticks = range(len(keys))
    axes.set_xticks(ticks, keys, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, [key if n else f"{key} (absent)" for key, n in zip(keys, total[:, 0], strict=True)])
    axes.set(xlabel="prediction", ylabel="truth", title="Pixels by class: share of the truth, and count")
    figure.savefig(out)


def short(pixels: int) -> str:
    """Three figures: 1234 -> "1.23k", 999,999 -> "1M"."""
    for unit, value in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        # From where three figures round up to it on: 999.6k would be written 1e+03k.
        if pixels >= 0.9995 * value:
            return f"{pixels / value:.3g}{unit}"
    return str(pixels)
