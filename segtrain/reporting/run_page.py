"""A run on one HTML page that needs nothing else: what it is, how it was trained, and what it is worth.

`report` measures one split in one pass, and both the page and the model card show the figures of that pass.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segtrain.data.folds import FOLDS
from segtrain.data.sampler import Index
from segtrain.data.samples import INDEX, Shards, read_cell_sources
from segtrain.evaluation.evaluate import check_held_out
from segtrain.evaluation.figures import NAMES
from segtrain.evaluation.set_evaluation import MeasuredSplit, measure_images
from segtrain.inference.prediction_files import colour_table
from segtrain.metrics.bootstrap import Estimate, bootstrap
from segtrain.metrics.calibration import BINS
from segtrain.metrics.confusion import OF_CLASS, WHOLE, all_scores
from segtrain.reporting.curves import Columns, curves, read_columns
from segtrain.reporting.model_card import CARD, WARNING, Reached, RunFacts, markdown, read_run_facts, sections
from segtrain.reporting.run_pictures import (
    SampleResult,
    both_ends,
    error_colours,
    error_map,
    predict_sample,
    reliability,
    short,
)
from segtrain.reporting.slices import Slices, slices
from segtrain.training.device import choose
from segtrain.training.run_folder import BEST, METRICS, SPEED, RunFolder
from segtrain.training.training_data import read_training_data
from smearsynth.base.errors import UserError
from smearsynth.base.html_page import HtmlTable, coded, inline, inline_indexed, swatch, write_page
from smearsynth.base.plots import inline_figure

_PACKAGE = Path(__file__).parents[1]
_SIDE = 448
"""Longest side of a sample on the page, px: larger ones are shown smaller."""
_MEASURES = {"iou": "IoU", "dice": "Dice", "precision": "precision", "recall": "recall"}
PAGE = "report.html"


def report(
    run: str | Path,
    *,
    dataset: str | Path | None = None,
    split: str = "test",
    out: str | Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> list[Path]:
    """Writes the page and the model card of a run, and returns their paths.

    dataset: where the set that it was trained on lies now; None: where it lay then. split: what is measured; "val" is
    what the training was validated on, of a fold the samples that it held out. out: the page, else report.html in the
    run's folder; the card is MODEL_CARD.md there. device: "auto", "cpu", "cuda" or "cuda:1". progress:
    bars on stderr, or lines in a log. Raises UserError, also for any other set than the run's.

    >>> [file.name for file in segtrain.report("runs/first", progress=False)]
    ['report.html', 'MODEL_CARD.md']
    """
    run = Path(run)
    if (run / FOLDS).is_file() and not (run / BEST).is_file():
        raise UserError(f"{run} is a cross-validation: report on one of its folds, such as {run / 'fold-1'}.")
    columns = read_columns(run / METRICS)
    about = read_run_facts(run, Path(dataset) if dataset is not None else None)
    shards, samples = _chosen(run, about, split)
    compute = choose(amp=about.config.amp, channels_last=about.config.channels_last, device=device)
    predict = compute.placed(about.trained.model)
    measured = measure_images(
        predict, shards, samples, batch=about.config.batch, compute=compute, objects=True, progress=progress
    )
    reached = reach(measured, "held-out" if about.trained.fold and split == "val" else split)
    ends = both_ends(list(zip(measured.scores, measured.numbers.tolist(), strict=True)))
    best, worst = ([predict_sample(predict, shards, *scored) for scored in end] for end in ends)
    page = Path(out) if out is not None else run / PAGE
    data = ReportData(
        about=about,
        columns=columns,
        speeds=read_columns(run / SPEED) if (run / SPEED).is_file() else {},
        measured=measured,
        reached=reached,
        slices=slices(measured, about.class_names, read_cell_sources(shards.root, shards.header.bank_digest)),
        best=best,
        worst=worst,
        device=str(compute),
    )
    write_run_page(page, data)
    RunFolder(run).write_text(CARD, markdown(about, reached))
    return [page, run / CARD]


def reach(measured: MeasuredSplit, split: str) -> Reached:
    """The figures of a split, each with its interval."""
    found = bootstrap(measured.matrices, measured.units, all_scores)
    classes = len(measured.shards.classes)
    by_class = np.reshape(np.arange(len(OF_CLASS) * classes), (len(OF_CLASS), classes)).T
    return Reached(
        split=split,
        images=len(measured.numbers),
        units=len(np.unique(measured.units)),
        whole={NAMES[key]: of for key, of in zip(WHOLE, found, strict=False)},
        per_class=[
            {name: found[len(WHOLE) + at] for name, at in zip(OF_CLASS, places, strict=True)}
            for places in by_class.tolist()
        ],
    )


def _chosen(run: Path, about: RunFacts, split: str) -> tuple[Shards, Index | None]:
    root = Path(about.config.data or "")
    if not (root / INDEX).is_file():
        raise UserError(f"{run} was trained on {root}, where there is no dataset now: say where it is", "dataset")
    if not about.index:
        raise UserError(
            f"{root} is not the data that {run} was trained on: its digest is another. Name that set; "
            "`segtrain evaluate` measures a run on others",
            "dataset",
        )
    if split == "val":
        parts = read_training_data(about.config)
        return parts.held_out, parts.validation
    shards = Shards(root, split)
    check_held_out(about.trained, shards, run)
    return shards, None


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """All that the page shows. speeds: of speed.csv, empty where the run has none. best, worst: samples. device: what
    was measured on."""

    about: RunFacts
    columns: Columns
    speeds: Columns
    measured: MeasuredSplit
    reached: Reached
    slices: list[Slices]
    best: list[SampleResult]
    worst: list[SampleResult]
    device: str


def write_run_page(path: Path, data: ReportData) -> None:
    """Writes the page."""
    about, classes = data.about, data.about.trained.classes
    palette, errors = colour_table(classes), error_colours(classes)
    write_page(
        path,
        "reporting/page.html",
        package=_PACKAGE,
        about=about,
        warning=WARNING,
        facts=HtmlTable((), _facts(data), texts=2),
        tiles=_tiles(data),
        reached=data.reached,
        measures=list(_MEASURES.values()),
        classes=list(zip(about.class_names, classes.colours, strict=True)),
        per_class=[
            {"name": swatch(colour, name), "counts": counts, "estimates": [of[key] for key in _MEASURES]}
            for name, colour, counts, of in zip(
                about.class_names, classes.colours, _held(data.measured.matrices), data.reached.per_class, strict=True
            )
        ],
        confusion=_confusion(data.measured.metrics.matrix),
        curves=inline_figure(curves(data.columns), "Loss, accuracy, mIoU and learning rate over the epochs"),
        reliability=inline_figure(
            reliability(data.measured.metrics.calibration), "Share of right pixels by confidence"
        ),
        calibration=_calibration(data.measured),
        samples=[
            (title, [_sample(result, palette, errors) for result in of])
            for title, of in (("Best", data.best), ("Worst", data.worst))
        ],
        slices=data.slices,
        speed=HtmlTable((), _speed(data), texts=2),
        card=sections(about, data.reached),
        figure=figure,
        interval=interval,
    )


def figure(of: Estimate) -> str:
    """As "0.912"; a dash where there was nothing to measure."""
    return "–" if math.isnan(of.value) else f"{of.value:.3f}"


def interval(of: Estimate) -> str:
    """As "0.905–0.918"; empty where there is none."""
    return "" if math.isnan(of.low) else f"{of.low:.3f}–{of.high:.3f}"


def _facts(data: ReportData) -> list[tuple[str, str]]:
    about, summary = data.about, data.about.summary
    machine = summary.get("machine") or {}
    parts = [machine.get("processor"), f"{machine['cores']} cores" if "cores" in machine else None]
    ended = f"{int(data.columns['epoch'][-1])}; best: {about.trained.epoch}, by {NAMES[about.config.monitor]}"
    if about.config.fold:
        ended += f"; fold {about.config.fold.number}"
    recipe = about.index.get("recipe_hash")
    return [
        ("network", about.network),
        ("trained parameters", f"{about.parameters:,}"),
        ("dataset", about.dataset),
        ("data digest", coded(f"`{about.trained.data_digest}`")),
        (
            "recipe hash",
            coded(f"`{recipe}`") if (recipe := about.index.get("recipe_hash")) else "none, an imported set",
        ),
        ("epochs", ended),
        ("ended", str(summary.get("reason") or "not yet")),
        ("seed", str(about.config.seed)),
        ("trained on", ", ".join(map(str, [*filter(None, parts), *(machine.get("gpus") or [])])) or "not recorded"),
        ("computed as", str(summary.get("computed_on") or "not recorded")),
    ]


def _tiles(data: ReportData) -> list[tuple[str, str, str]]:
    """Name, value, interval."""
    figures = data.measured.metrics.figures()
    return [
        *((name, figure(of), interval(of)) for name, of in data.reached.whole.items()),
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


def _calibration(measured: MeasuredSplit) -> str:
    """What the diagram says, in a sentence."""
    error = measured.metrics.figures()["calibration_error"]
    if error is None:
        return "There was no pixel to measure."
    held = [b for b in measured.metrics.calibration if b["pixels"]]
    total = sum(b["pixels"] for b in held)
    lean = sum(b["pixels"] * (b["confidence"] - b["accuracy"]) for b in held) / total
    way = "surer than it is right" if lean > 0 else "less sure than it is right"
    return f"Expected calibration error {error:.4f}, over {BINS} bins. On the whole it is {way}, by {abs(lean):.4f}."


def _sample(result: SampleResult, palette: npt.NDArray[np.uint8], errors: npt.NDArray[np.uint8]) -> dict[str, Any]:
    step = max(1, -(-max(result.truth.shape) // _SIDE))
    about = f"{result.name}, mIoU {'not known' if math.isnan(result.score) else f'{result.score:.3f}'}"
    truth, prediction = (labels[::step, ::step] for labels in (result.truth, result.prediction))
    return {
        "name": result.name,
        "score": "no pixel to score" if math.isnan(result.score) else f"{result.score:.3f}",
        "pictures": [
            inline(_reduced(result.image, step), f"Image of {about}"),
            inline_indexed(truth, palette, f"Truth of {about}"),
            inline_indexed(prediction, palette, f"Prediction of {about}"),
            inline(_reduced(error_map(result, errors), step), f"Errors of {about}"),
        ],
    }


def _reduced(picture: npt.NDArray[np.uint8], step: int) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).reduce(step))


def _speed(data: ReportData) -> list[tuple[str, str]]:
    rows = []
    if data.speeds:
        images, seconds = (np.array(data.speeds[name]) for name in ("images", "training_seconds"))
        waited = float((np.array(data.speeds["waiting_share"]) * seconds).sum() / seconds.sum())
        rows += [
            ("training", f"{images.sum() / seconds.sum():,.1f} images/s over {len(images)} epochs"),
            ("fastest epoch", f"{(images / seconds).max():,.1f} images/s"),
            ("time in all", _duration(sum(data.speeds["seconds"]))),
            ("of it, waiting for data", f"{100 * waited:.1f} %"),
        ]
    else:
        rows.append(("training", "not recorded"))
    forward = data.measured.images_per_second
    size = "{1} × {0} px".format(*data.measured.shards.size)
    text = "one batch only, not timed" if math.isnan(forward) else f"{forward:,.1f} images/s of {size}, {data.device}"
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
