"""What can be had without a network: the figures that a network has to beat."""

from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from torch import Tensor

from segtrain.data.loader import Loader
from segtrain.data.samples import Shards
from segtrain.evaluation.figures import Figures
from segtrain.evaluation.real import Method, measure_fields
from segtrain.evaluation.split import Measures, Predict, predictions
from smearsynth.fields.folder import Field, is_folder, read_fields
from smearsynth.fields.images import Mask
from smearsynth.fields.otsu import otsu_cells

_BATCH = 16
_CERTAIN = 50.0
"""Logit of the class that is predicted, beside 0 of all others: a softmax of 1 in fp32."""


def baseline(target: str | Path, *, split: str = "test", progress: bool = True) -> dict[str, Figures]:
    """The figures of `otsu` and `majority`, as `evaluate` gives them of a network.

    target: a dataset, measured on `split`, where Otsu's cells (holes filled) are of the training split's most frequent
    class of cells, and the majority is its most frequent class; or a folder of real fields with masks, measured at
    native resolution, where the majority is the more frequent of glass and cell. Raises UserError.
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
    """bool (h, w): Otsu's cells of a real field."""
    return otsu_cells(field.image)


def _measure(predict: Predict, shards: Shards, *, progress: bool) -> Figures:
    measures = Measures(shards.classes, torch.device("cpu"), boundaries=False)
    with closing(Loader(shards, batch=_BATCH, shuffle=False)) as loader:
        for logits, label, _ in predictions(predict, loader, progress=progress):
            measures.update(logits, label)
    return measures.figures()


def _otsu(image: Tensor, *, cell: int, classes: int) -> Tensor:
    cells = np.stack([otsu_cells(np.ascontiguousarray(single)) for single in image.permute(0, 2, 3, 1).numpy()])
    return _logits(torch.from_numpy(cells).long() * cell, classes)


def _constant(image: Tensor, *, class_id: int, classes: int) -> Tensor:
    return _logits(torch.full((len(image), *image.shape[2:]), class_id), classes)


def _logits(class_ids: Tensor, classes: int) -> Tensor:
    """fp32 (B, classes, H, W) that are sure of the class ids, i8 (B, H, W)."""
    return _CERTAIN * F.one_hot(class_ids, classes).permute(0, 3, 1, 2).float()


def _majority_of(folder: Path) -> partial[Mask]:
    """All cell, or all glass, whichever has more of the folder's pixels."""
    share = sum(int(f.cells.sum()) * 2 - f.cells.size for f in read_fields(folder))
    return partial(_all, cell=share > 0)


def _all(field: Field, *, cell: bool) -> Mask:
    return np.full(field.cells.shape, cell)
