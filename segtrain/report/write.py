"""A run and the set it was trained on to a page and a model card: one pass over a split, and all figures from it."""

from pathlib import Path

import numpy as np
import torch

from segtrain.card.about import About, read_about
from segtrain.card.text import CARD, Reached, markdown
from segtrain.compute import choose
from segtrain.data.cell_sources import read_cell_sources
from segtrain.data.folds import FOLDS
from segtrain.data.samples import INDEX, Shards
from segtrain.data.shuffle import Index
from segtrain.evaluate import check_held_out, predictor
from segtrain.evaluation.figures import NAMES
from segtrain.evaluation.images import Measured, measure_images
from segtrain.metrics.bootstrap import Floats, bootstrap
from segtrain.metrics.confusion import class_scores, whole_scores
from segtrain.parts import read_parts
from segtrain.report.curves import read_columns
from segtrain.report.extremes import both_ends, shown
from segtrain.report.page import Told, write_run_page
from segtrain.report.slices import slices
from segtrain.run import BEST, METRICS, SPEED, Run
from smearsynth.errors import UserError

PAGE = "report.html"
_WHOLE = ("miou", "pixel_accuracy", "foreground_dice")
_OF_CLASS = ("iou", "dice", "precision", "recall")


def write_report(
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
    run's folder; the card is MODEL_CARD.md there. Raises UserError, also for any other set than the run's.
    """
    run = Path(run)
    if (run / FOLDS).is_file() and not (run / BEST).is_file():
        raise UserError(f"{run} is a cross-validation: report on one of its folds, such as {run / 'fold-1'}.")
    columns = read_columns(run / METRICS)
    about = read_about(run, Path(dataset) if dataset is not None else None)
    shards, samples = _chosen(run, about, split)
    compute = choose(amp=about.config.amp, channels_last=about.config.channels_last, device=device)
    predict = predictor(about.trained, compute)
    measured = measure_images(
        predict, shards, samples, batch=about.config.batch, compute=compute, objects=True, progress=progress
    )
    reached = reach(measured, "held-out" if about.trained.fold and split == "val" else split)
    ends = both_ends(list(zip(measured.scores, measured.numbers.tolist(), strict=True)))
    best, worst = ([shown(predict, shards, *scored) for scored in end] for end in ends)
    page = Path(out) if out is not None else run / PAGE
    told = Told(
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
    write_run_page(page, told)
    Run(run).write_text(CARD, markdown(about, reached))
    return [page, run / CARD]


def reach(measured: Measured, split: str) -> Reached:
    """The figures of a split, each with its interval."""
    found = bootstrap(measured.matrices, measured.units, _all_figures)
    classes = len(measured.shards.classes)
    by_class = np.reshape(np.arange(len(_OF_CLASS) * classes), (len(_OF_CLASS), classes)).T
    return Reached(
        split=split,
        images=len(measured.numbers),
        units=len(np.unique(measured.units)),
        whole={NAMES[key]: of for key, of in zip(_WHOLE, found, strict=False)},
        per_class=[
            {name: found[len(_WHOLE) + at] for name, at in zip(_OF_CLASS, places, strict=True)}
            for places in by_class.tolist()
        ],
    )


def _all_figures(sums: Floats) -> Floats:
    """f8 (B, 3 + 4 C) of confusion matrices: those of all classes, then IoU of each class, Dice of each, and so on."""
    matrix = torch.from_numpy(sums)
    whole, of_class = whole_scores(matrix), class_scores(matrix)
    columns = [*(whole[key][:, None] for key in _WHOLE), *(of_class[key] for key in _OF_CLASS)]
    return torch.cat(columns, dim=1).numpy()


def _chosen(run: Path, about: About, split: str) -> tuple[Shards, Index | None]:
    root = Path(about.config.data or "")
    if not (root / INDEX).is_file():
        raise UserError(f"{run} was trained on {root}, where there is no dataset now: say where it lies by --data.")
    if not about.index:
        raise UserError(
            f"{root} is not the data that {run} was trained on: its digest is another. Name that set by --data; "
            "`segtrain evaluate` measures a run on others."
        )
    if split == "val":
        parts = read_parts(about.config)
        return parts.held_out, parts.validation
    shards = Shards(root, split)
    check_held_out(about.trained, shards, run)
    return shards, None
