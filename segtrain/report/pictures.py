"""The pictures of a run, from its files and the data it was validated on."""

import math
from contextlib import closing
from pathlib import Path

import torch

from segtrain.compute import choose
from segtrain.config import load_config
from segtrain.data.loader import Loader
from segtrain.data.samples import Shards
from segtrain.evaluate import predictor
from segtrain.evaluation.split import Measures, Predict, predictions, sample_scores
from segtrain.parts import read_parts
from segtrain.report.confusion import draw_confusion
from segtrain.report.curves import draw_curves, read_columns
from segtrain.report.gallery import Shown, draw_gallery
from segtrain.run import CONFIG, METRICS
from segtrain.trained import load_trained
from smearsynth.errors import UserError

CURVES, CONFUSION, GALLERY = "curves.png", "confusion.png", "gallery.png"
_SHOWN = 4
"""Samples of either end in the gallery."""


def write_pictures(
    run: Path, *, dataset: Path | None = None, device: str = "auto", progress: bool = True
) -> list[Path]:
    """Writes curves.png, confusion.png and gallery.png into the run's folder and returns their paths.

    The last two show the best epoch on the validation split; after `overfit` on the samples of that, of a fold on those
    that it holds out. dataset: None is
    the one in the run's config. Raises UserError.
    """
    run = Path(run)
    draw_curves(read_columns(run / METRICS), run / CURVES)
    config = load_config(run / CONFIG)
    trained = load_trained(run)
    parts = read_parts(config.model_copy(update={"data": str(dataset or config.data or "")}))
    shards = parts.held_out
    if shards.digest != trained.data_digest:
        raise UserError(f"{shards.root} is not the data that {run} was trained on: its digest is another.")
    compute = choose(amp=config.amp, channels_last=config.channels_last, device=device)
    predict = predictor(trained, compute)
    measures = Measures(shards.classes, compute.device, boundaries=False)
    found: list[tuple[float, int]] = []
    with closing(
        Loader(shards, batch=config.batch, shuffle=False, samples=parts.validation, device=compute.device)
    ) as loader:
        for logits, label, numbers in predictions(predict, loader, progress=progress):
            measures.update(logits, label)
            found += zip(sample_scores(logits, label), numbers.tolist(), strict=True)
    draw_confusion(measures.matrix, shards.classes.keys, run / CONFUSION)
    best, worst = both_ends(found)
    rows = [_shown(predict, shards, number, score) for score, number in (*best, *worst)]
    draw_gallery(rows[: len(best)], rows[len(best) :], shards.classes, run / GALLERY)
    return [run / name for name in (CURVES, CONFUSION, GALLERY)]


def both_ends(found: list[tuple[float, int]]) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """The best and the worst of (score, number), four each where there are so many, in falling order; none is both.
    What has no score (nan) counts as the worst."""
    ranked = sorted(found, key=lambda pair: (math.isnan(pair[0]), -pair[0], pair[1]))
    best = min(_SHOWN, len(ranked) // 2)
    worst = min(_SHOWN, len(ranked) - best)
    return ranked[:best], ranked[len(ranked) - worst :]


def _shown(predict: Predict, shards: Shards, number: int, score: float) -> Shown:
    image, truth = shards.read(number)
    with torch.inference_mode():
        logits = predict(torch.tensor(image).permute(2, 0, 1)[None])
    prediction = logits[0].argmax(dim=0).to(torch.uint8).cpu().numpy()
    return Shown(shards.sample_id(number), image, truth, prediction, score)
