"""Samples beside what the network made of them: the best and the worst."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from segtrain.data.samples import Classes
from segtrain.evaluation.errors import CELL_AS_GLASS, GLASS_AS_CELL
from smearsynth.taxonomy import IGNORE

Pixels = npt.NDArray[np.uint8]

IGNORED_GREY = 128
_FADED = 0.35
"""Contrast that is left of the image under the error map, so that errors stand out."""
_INCHES = 2.2


@dataclass(frozen=True)
class Shown:
    """One row. image: u1 (H, W, 3). truth, prediction: u1 (H, W), class ids, 255 in truth = ignored. score: mIoU."""

    name: str
    image: Pixels
    truth: Pixels
    prediction: Pixels
    score: float


def draw_gallery(best: Sequence[Shown], worst: Sequence[Shown], classes: Classes, out: Path) -> None:
    """Writes a PNG with one row per sample: image, truth, prediction, error map."""
    rows = [("best", shown) for shown in best] + [("worst", shown) for shown in worst]
    figure = Figure(figsize=(4 * _INCHES + 1, (len(rows) + 0.6) * _INCHES), dpi=110, layout="constrained")
    grid = figure.subplots(len(rows), 4, squeeze=False)
    palette, errors = colour_table(classes), error_colours(classes)
    for axes, (kind, shown) in zip(grid, rows, strict=True):
        maps = (shown.image, palette[shown.truth], palette[shown.prediction], error_map(shown, errors))
        for column, picture in zip(axes, maps, strict=True):
            _show(column, picture)
        axes[0].set_ylabel(f"{kind}: {shown.name}\nmIoU {shown.score:.3f}", fontsize=7)
    for column, title in zip(
        grid[0], ("image", "truth", "prediction", "errors, by what they were taken for"), strict=True
    ):
        column.set_title(title, fontsize=9)
    patches = [
        Patch(facecolor=colour, edgecolor="0.5", label=key)
        for key, colour in zip(classes.keys, classes.colours, strict=True)
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    figure.savefig(out)


def error_map(shown: Shown, colours: Pixels) -> Pixels:
    """u1 (H, W, 3): pixels that are wrong and not ignored in the colour of the class they were taken for, all others a
    faded grey of the image. colours: u1 (256, 3)."""
    grey = shown.image.mean(axis=2, keepdims=True)
    faded = np.repeat(255 - _FADED * (255 - grey), 3, axis=2).astype(np.uint8)
    wrong = (shown.prediction != shown.truth) & (shown.truth != IGNORE)
    return np.where(wrong[..., None], colours[shown.prediction], faded)


def error_colours(classes: Classes) -> Pixels:
    """u1 (256, 3): colour of a wrong pixel, by what it was taken for. Of two classes, which are often black and white,
    red where glass was taken for a cell, blue where a cell for glass, as in pictures of real fields."""
    table = colour_table(classes)
    if len(classes) == 2:
        table[:2] = CELL_AS_GLASS, GLASS_AS_CELL
    return table


def colour_table(classes: Classes) -> Pixels:
    """u1 (256, 3): RGB by label; ignored pixels grey."""
    table = np.full((256, 3), IGNORED_GREY, np.uint8)
    for number, colour in zip(classes.ids, classes.colours, strict=True):
        table[number] = tuple(bytes.fromhex(colour[1:]))
    return table


def _show(axes: Axes, picture: Pixels) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
