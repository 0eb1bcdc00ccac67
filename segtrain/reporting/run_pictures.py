"""The pictures of a run, from its files and its validation data: curves, confusion matrix, calibration, and a gallery
of the best and the worst samples beside what the network predicts for them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from segtrain.data.samples import Classes, Shards
from segtrain.evaluation.field_evaluation import CELL_AS_GLASS, GLASS_AS_CELL
from segtrain.evaluation.set_evaluation import Predict, measure_images
from segtrain.inference.prediction_files import colour_table
from segtrain.reporting.curves import draw_curves, read_columns
from segtrain.training.config import load_config
from segtrain.training.device import choose
from segtrain.training.run_folder import CONFIG, METRICS, load_trained
from segtrain.training.training_data import read_training_data
from smearsynth.taxonomy import IGNORE

Pixels = npt.NDArray[np.uint8]
Scored = list[tuple[float, int]]
"""(score, sample number) of each."""

CURVES, CONFUSION, GALLERY = "curves.png", "confusion.png", "gallery.png"
_FADED = 0.35
"""Contrast that is left of the image under the error map, so that errors stand out."""
_INCHES = 2.2
"""Of a picture in the gallery."""
_EITHER_END = 4
"""Samples in the gallery that are best, and that are worst."""
_RIGHT, _PIXELS = "#5b3a8c", "#b9b2c0"
_MIN_SHARE = 1e-4
"""Share of all pixels under which a bin of the calibration has no point: it would be chance."""


def write_pictures(run: Path, *, device: str = "auto", progress: bool = True) -> list[Path]:
    """Writes curves.png, confusion.png and gallery.png into the run's folder and returns their paths.

    The last two show the best epoch on the validation split; after `overfit` on the samples of that, of a fold on those
    that it holds out. Raises UserError.
    """
    run = Path(run)
    draw_curves(read_columns(run / METRICS), run / CURVES)
    trained, parts = load_trained(run), read_training_data(load_config(run / CONFIG))
    compute = choose(amp=trained.config.amp, channels_last=trained.config.channels_last, device=device)
    shards, predict = parts.held_out, compute.placed(trained.model)
    measured = measure_images(
        predict,
        shards,
        parts.validation,
        batch=trained.config.batch,
        compute=compute,
        objects=False,
        progress=progress,
    )
    draw_confusion(measured.metrics.matrix, shards.classes.keys, run / CONFUSION)
    ends = both_ends(list(zip(measured.scores, measured.numbers.tolist(), strict=True)))
    best, worst = ([predict_sample(predict, shards, *scored) for scored in end] for end in ends)
    draw_gallery(best, worst, shards.classes, run / GALLERY)
    return [run / name for name in (CURVES, CONFUSION, GALLERY)]


def draw_confusion(matrix: npt.NDArray[np.int64], keys: Sequence[str], out: Path) -> None:
    """Writes a PNG. matrix: int64 (C, C), pixels, rows truth, columns prediction. keys: C names.

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


@dataclass(frozen=True)
class SampleResult:
    """image: uint8 (H, W, 3). truth, prediction: uint8 (H, W), class ids, 255 in truth = ignored. score: mIoU."""

    name: str
    image: Pixels
    truth: Pixels
    prediction: Pixels
    score: float


def draw_gallery(best: Sequence[SampleResult], worst: Sequence[SampleResult], classes: Classes, out: Path) -> None:
    """Writes a PNG with one row per sample: image, truth, prediction, error map."""
    rows = [("best", sample) for sample in best] + [("worst", sample) for sample in worst]
    figure = Figure(figsize=(4 * _INCHES + 1, (len(rows) + 0.6) * _INCHES), dpi=110, layout="constrained")
    grid = figure.subplots(len(rows), 4, squeeze=False)
    palette, errors = colour_table(classes), error_colours(classes)
    for axes, (kind, sample) in zip(grid, rows, strict=True):
        maps = (sample.image, palette[sample.truth], palette[sample.prediction], error_map(sample, errors))
        for column, picture in zip(axes, maps, strict=True):
            _show(column, picture)
        axes[0].set_ylabel(f"{kind}: {sample.name}\nmIoU {sample.score:.3f}", fontsize=7)
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


def error_map(sample: SampleResult, colours: Pixels) -> Pixels:
    """uint8 (H, W, 3): wrong pixels in the colour of the class they were taken for, all others a faded grey of the
    image. colours: uint8 (256, 3)."""
    grey = sample.image.mean(axis=2, keepdims=True)
    faded = np.repeat(255 - _FADED * (255 - grey), 3, axis=2).astype(np.uint8)
    wrong = (sample.prediction != sample.truth) & (sample.truth != IGNORE)
    return np.where(wrong[..., None], colours[sample.prediction], faded)


def error_colours(classes: Classes) -> Pixels:
    """uint8 (256, 3): colour of a wrong pixel, by what it was taken for. Of two classes, which are often black and
    white, red where glass was taken for a cell, blue where a cell for glass, as in pictures of real fields."""
    table = colour_table(classes)
    if len(classes) == 2:
        table[:2] = CELL_AS_GLASS, GLASS_AS_CELL
    return table


def _show(axes: Axes, picture: Pixels) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[])


def both_ends(found: Scored) -> tuple[Scored, Scored]:
    """The best and the worst of (score, number), four each where there are so many, in falling order; none is both.
    What has no score (nan) counts as the worst."""
    ranked = sorted(found, key=lambda pair: (math.isnan(pair[0]), -pair[0], pair[1]))
    best = min(_EITHER_END, len(ranked) // 2)
    worst = min(_EITHER_END, len(ranked) - best)
    return ranked[:best], ranked[len(ranked) - worst :]


def predict_sample(predict: Predict, shards: Shards, score: float, number: int) -> SampleResult:
    """A sample and what the network predicts for it."""
    image, truth = shards.read(number)
    with torch.inference_mode():
        logits = predict(torch.tensor(image).permute(2, 0, 1)[None])
    prediction = logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()
    return SampleResult(shards.sample_id(number), image, truth, prediction, score)


def reliability(bins: Sequence[Mapping[str, float]]) -> Figure:
    """Above, share of the pixels that are right over their mean confidence, with the diagonal of a network that knows
    itself; below, how many pixels there are. bins: of equal width over 0 to 1, as `CalibrationError` reports them."""
    width, total = 1 / len(bins), sum(b["pixels"] for b in bins)
    held = [(i, b) for i, b in enumerate(bins) if b["pixels"]]
    known = [b for _, b in held if b["pixels"] >= _MIN_SHARE * total]
    figure = Figure(figsize=(4.6, 4.8), dpi=110, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1, label="as sure as right")
    confidence, accuracy = ([b[name] for b in known] for name in ("confidence", "accuracy"))
    above.plot(confidence, accuracy, color=_RIGHT, marker="o", markersize=5, clip_on=False, label="this network")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    above.legend(fontsize=8, loc="upper left", frameon=False)
    below.bar(
        [(i + 0.5) * width for i, _ in held],
        [100 * b["pixels"] / total for _, b in held],
        width=0.9 * width,
        color=_PIXELS,
    )
    below.set(xlabel="confidence", ylabel="pixels, %", ylim=(0, None))
    for axes in (above, below):
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
    return figure
