"""A run on one HTML page that needs nothing else: what it is, how it was trained, and what it is worth."""

import math
from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from segtrain.card.about import About
from segtrain.card.text import WARNING, Reached, sections
from segtrain.evaluation.figures import NAMES
from segtrain.evaluation.images import Measured
from segtrain.metrics.bootstrap import Estimate
from segtrain.metrics.calibration import BINS
from segtrain.report.confusion import short
from segtrain.report.curves import Columns, curves
from segtrain.report.gallery import Shown, colour_table, error_colours, error_map
from segtrain.report.reliability import reliability
from segtrain.report.slices import Slices
from smearsynth.page import Inline, inline, inline_indexed, write_page

_PACKAGE = Path(__file__).parents[1]
_SIDE = 448
"""Longest side of a sample on the page, px: larger ones are shown smaller."""
_MEASURES = {"iou": "IoU", "dice": "Dice", "precision": "precision", "recall": "recall"}


@dataclass(frozen=True, kw_only=True)
class Told:
    """All that the page shows. speeds: of speed.csv, empty where the run has none. best, worst: samples. device: what
    was measured on."""

    about: About
    columns: Columns
    speeds: Columns
    measured: Measured
    reached: Reached
    slices: list[Slices]
    best: list[Shown]
    worst: list[Shown]
    device: str


def write_run_page(path: Path, told: Told) -> None:
    """Writes the page."""
    about, classes = told.about, told.about.trained.classes
    palette, errors = colour_table(classes), error_colours(classes)
    write_page(
        path,
        "report/page.html",
        package=_PACKAGE,
        about=about,
        warning=WARNING,
        facts=_facts(told),
        tiles=_tiles(told),
        reached=told.reached,
        measures=_MEASURES,
        classes=list(zip(about.class_names, classes.colours, strict=True)),
        held=_held(told.measured.matrices),
        per_class=[[of[key] for key in _MEASURES] for of in told.reached.per_class],
        confusion=_confusion(told.measured.measures.matrix),
        curves=svg(curves(told.columns), "Loss, accuracy, mIoU and learning rate over the epochs"),
        reliability=svg(reliability(told.measured.measures.calibration), "Share of right pixels by confidence"),
        calibration=_calibration(told.measured),
        samples=[
            (title, [_sample(shown, palette, errors) for shown in of])
            for title, of in (("Best", told.best), ("Worst", told.worst))
        ],
        slices=told.slices,
        speed=_speed(told),
        card=sections(about, told.reached),
        figure=figure,
        interval=interval,
    )


def svg(drawn: Figure, alt: str) -> Inline:
    """A figure as a picture that is sharp at any size, the same bytes every time."""
    file = BytesIO()
    with rc_context({"svg.hashsalt": "segtrain"}):
        drawn.savefig(file, format="svg", metadata={"Date": None})
    width, height = (round(96 * inches) for inches in drawn.get_size_inches())
    data = f"data:image/svg+xml;base64,{b64encode(file.getvalue()).decode()}"
    return Inline(data=data, width=width, height=height, alt=alt)


def figure(of: Estimate) -> str:
    """As "0.912"; a dash where there was nothing to measure."""
    return "–" if math.isnan(of.value) else f"{of.value:.3f}"


def interval(of: Estimate) -> str:
    """As "0.905–0.918"; empty where there is none."""
    return "" if math.isnan(of.low) else f"{of.low:.3f}–{of.high:.3f}"


def _facts(told: Told) -> list[tuple[str, str]]:
    about, summary = told.about, told.about.summary
    machine = summary.get("machine") or {}
    parts = [machine.get("processor"), f"{machine['cores']} cores" if "cores" in machine else None]
    ended = f"{int(told.columns['epoch'][-1])}; best: {about.trained.epoch}, by {NAMES[about.config.monitor]}"
    if about.config.fold:
        ended += f"; fold {about.config.fold.number}"
    return [
        ("network", about.network),
        ("trained parameters", f"{about.parameters:,}"),
        ("dataset", about.dataset),
        ("data digest", about.trained.data_digest),
        ("recipe hash", str(about.index.get("recipe_hash") or "none, an imported set")),
        ("epochs", ended),
        ("ended", str(summary.get("reason") or "not yet")),
        ("seed", str(about.config.seed)),
        ("trained on", ", ".join(map(str, [*filter(None, parts), *(machine.get("gpus") or [])])) or "not recorded"),
        ("computed as", str(summary.get("computed_on") or "not recorded")),
    ]


def _tiles(told: Told) -> list[tuple[str, str, str]]:
    """Name, value, interval."""
    figures = told.measured.measures.figures()
    return [
        *((name, figure(of), interval(of)) for name, of in told.reached.whole.items()),
        *((NAMES[key], _known(figures[key]), "") for key in ("reference_accuracy", "calibration_error")),
    ]


def _known(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _held(matrices: npt.NDArray[np.int64]) -> list[tuple[int, str]]:
    """Of each class: images that hold it, and its pixels."""
    pixels = matrices.sum(axis=2)
    return [(int((of > 0).sum()), short(int(of.sum()))) for of in pixels.T]


def _confusion(matrix: npt.NDArray[np.int64]) -> list[list[tuple[str, float, int]] | None]:
    """Per class of the truth, None where it is absent: of each prediction text, share of the row, pixels."""
    rows = []
    for row in matrix:
        whole = int(row.sum())
        rows.append([(_percent(n / whole), n / whole, n) for n in row.tolist()] if whole else None)
    return rows


def _percent(share: float) -> str:
    if share == 0:
        return ""
    return "< 0.1" if share < 0.0005 else f"{100 * share:.1f}"


def _calibration(measured: Measured) -> str:
    """What the diagram says, in a sentence."""
    error = measured.measures.figures()["calibration_error"]
    if error is None:
        return "There was no pixel to measure."
    held = [b for b in measured.measures.calibration if b["pixels"]]
    total = sum(b["pixels"] for b in held)
    lean = sum(b["pixels"] * (b["confidence"] - b["accuracy"]) for b in held) / total
    way = "surer than it is right" if lean > 0 else "less sure than it is right"
    return f"Expected calibration error {error:.4f}, over {BINS} bins. On the whole it is {way}, by {abs(lean):.4f}."


def _sample(shown: Shown, palette: npt.NDArray[np.uint8], errors: npt.NDArray[np.uint8]) -> dict[str, Any]:
    step = max(1, -(-max(shown.truth.shape) // _SIDE))
    about = f"{shown.name}, mIoU {'not known' if math.isnan(shown.score) else f'{shown.score:.3f}'}"
    truth, prediction = (labels[::step, ::step] for labels in (shown.truth, shown.prediction))
    return {
        "name": shown.name,
        "score": "no pixel to score" if math.isnan(shown.score) else f"{shown.score:.3f}",
        "pictures": [
            inline(_reduced(shown.image, step), f"Image of {about}"),
            inline_indexed(truth, palette, f"Truth of {about}"),
            inline_indexed(prediction, palette, f"Prediction of {about}"),
            inline(_reduced(error_map(shown, errors), step), f"Errors of {about}"),
        ],
    }


def _reduced(picture: npt.NDArray[np.uint8], step: int) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).reduce(step))


def _speed(told: Told) -> list[tuple[str, str]]:
    rows = []
    if told.speeds:
        images, seconds = (np.array(told.speeds[name]) for name in ("images", "training_seconds"))
        waited = float((np.array(told.speeds["waiting_share"]) * seconds).sum() / seconds.sum())
        rows += [
            ("training", f"{images.sum() / seconds.sum():,.1f} images/s over {len(images)} epochs"),
            ("fastest epoch", f"{(images / seconds).max():,.1f} images/s"),
            ("time in all", _duration(sum(told.speeds["seconds"]))),
            ("of it, waiting for data", f"{100 * waited:.1f} %"),
        ]
    else:
        rows.append(("training", "not recorded"))
    forward = told.measured.images_per_second
    size = "{1} × {0} px".format(*told.measured.shards.size)
    text = "one batch only, not timed" if math.isnan(forward) else f"{forward:,.1f} images/s of {size}, {told.device}"
    return [*rows, ("forward, for this page", text)]


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{seconds:.0f} s"
        if minutes < 2
        else f"{minutes // 60} h {minutes % 60} min"
        if minutes > 90
        else f"{minutes} min"
    )
