"""Figures that a network has to beat, of Otsu's threshold and of the majority class; and the best threshold."""

import math
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from segtrain.data.dataloader import Loader
from segtrain.data.samples import Shards
from segtrain.evaluation.field_evaluation import Method, measure_fields
from segtrain.evaluation.figures import Figures
from segtrain.evaluation.set_evaluation import PixelMetrics, Predict, predictions
from segtrain.metrics.confusion import count
from smearsynth.fields.field_folder import Field, Mask, is_folder, read_fields
from smearsynth.fields.otsu import otsu_cells

STEPS = 200
"""Thresholds are whole multiples of 1 / STEPS."""
_BATCH = 16
_CERTAIN = 50.0
"""Logit of the class that is predicted, beside 0 of all others: a softmax of 1 in float32."""


def baseline(target: str | Path, *, split: str = "test", progress: bool = True) -> dict[str, Figures]:
    """The figures of `otsu` and `majority`, as `evaluate` gives them of a network.

    target: a dataset, measured on `split`, where Otsu's cells (holes filled) are of the training split's most frequent
    class of cells, and the majority is its most frequent class; or a folder of real fields with masks, measured at
    native resolution, where the majority is the more frequent of glass and cell. progress: bars on stderr, or lines in
    a log. Raises UserError.

    >>> list(segtrain.baseline("quickstart", progress=False))
    ['otsu', 'majority']
    """
    target = Path(target)
    if is_folder(target):
        methods: dict[str, Method] = {"otsu": otsu_field, "majority": _majority_of(target)}
        return measure_fields(read_fields(target), methods, progress=progress)
    shards = Shards(target, split)
    pixels = Shards(target, "train").pixels_per_class()
    cell = 1 + int(pixels[1:].argmax())
    ways = {
        "otsu": partial(_otsu, cell=cell, classes=len(pixels)),
        "majority": partial(_constant, class_id=int(pixels.argmax()), classes=len(pixels)),
    }
    return {name: _measure(way, shards, progress=progress) for name, way in ways.items()}


def otsu_field(field: Field) -> Mask:
    """bool (H, W): Otsu's cells of a real field."""
    return otsu_cells(field.image)


def _measure(predict: Predict, shards: Shards, *, progress: bool) -> Figures:
    metrics = PixelMetrics(shards.classes, torch.device("cpu"), boundaries=False)
    with closing(Loader(shards, batch=_BATCH, shuffle=False)) as loader:
        for logits, label, _ in predictions(predict, loader, progress=progress):
            metrics.update(logits, label)
    return metrics.figures()


def _otsu(image: Tensor, *, cell: int, classes: int) -> Tensor:
    cells = np.stack([otsu_cells(np.ascontiguousarray(single)) for single in image.permute(0, 2, 3, 1).numpy()])
    return sure_logits(torch.from_numpy(cells).long() * cell, classes)


def _constant(image: Tensor, *, class_id: int, classes: int) -> Tensor:
    return sure_logits(torch.full((len(image), *image.shape[2:]), class_id), classes)


def sure_logits(class_ids: Tensor, classes: int) -> Tensor:
    """float32 (B, classes, H, W) that are sure of the class ids, int64 (B, H, W)."""
    return _CERTAIN * F.one_hot(class_ids, classes).permute(0, 3, 1, 2).float()


def _majority_of(folder: Path) -> partial[Mask]:
    """All cell, or all glass, whichever has more of the folder's pixels."""
    share = sum(int(f.cells.sum()) * 2 - f.cells.size for f in read_fields(folder))
    return partial(_all, cell=share > 0)


def _all(field: Field, *, cell: bool) -> Mask:
    return np.full(field.cells.shape, cell)


def best_threshold(batches: Iterable[tuple[Tensor, Tensor, Tensor]]) -> float:
    """The threshold of the highest F-score (Dice of the second class, all pixels pooled); of equal ones the nearest to
    1/2, as where no pixel is of that class.

    batches: what `predictions` yields, of two classes.
    """
    pixels = torch.zeros(2, STEPS, dtype=torch.int64)
    for logits, label, _ in batches:
        step = (logits.softmax(dim=1)[:, 1] * STEPS).long().clamp(max=STEPS - 1)
        for truth in (0, 1):
            pixels[truth] += count(torch.where(label == truth, step, STEPS), STEPS + 1)[:STEPS].cpu()
    # Pixels at or over each threshold, 1 / STEPS to 1 - 1 / STEPS.
    wrong, right = pixels.flip(1).cumsum(1).flip(1)[:, 1:].double()
    scores = 2 * right / (wrong + right + pixels[1].sum()).clamp(min=1)
    best = 1 + (scores == scores.max()).nonzero().flatten()
    return float(best[(2 * best - STEPS).abs().argmin()]) / STEPS


def with_threshold(predict: Predict, threshold: float) -> Predict:
    """`predict` with logits whose larger one is the second where its probability is over `threshold`, 0 to 1."""
    shift = torch.tensor([math.log(threshold / (1 - threshold)), 0.0])[:, None, None]

    def predicted(image: Tensor) -> Tensor:
        logits = predict(image)
        return logits + shift.to(logits.device)

    return predicted
