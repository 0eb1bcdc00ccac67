"""Ways of telling cells from glass, measured on real fields at their native resolution."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from segtrain.evaluation.figures import Figures, by_key, known
from segtrain.metrics import Confusion, scores
from smearsynth.fields.folder import Field
from smearsynth.fields.images import Mask
from smearsynth.taxonomy import IGNORE

Method = Callable[[Field], Mask]
"""A field to bool (h, w), true where a cell is."""
GLASS_OR_CELL = ("background", "cell")


def measure_fields(
    fields: Iterable[Field], methods: Mapping[str, Method], *, progress: bool = True
) -> dict[str, Figures]:
    """The figures of each method.

    foreground_dice: mean over the images, without those where neither truth nor prediction has a cell. miou,
    pixel_accuracy and per_class (of background and cell): from the pixels of all images pooled. reference_accuracy:
    with one foreground channel the same as pixel_accuracy. images: name and foreground_dice of each. What no box knows
    is left out of all of them.
    """
    pooled = {name: Confusion(2) for name in methods}
    images: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    for field in tqdm(fields, unit="image", leave=False, disable=None if progress else True):
        truth = torch.from_numpy(np.where(field.counted, field.cells, IGNORE).astype(np.uint8))
        for name, method in methods.items():
            prediction = torch.from_numpy(method(field))
            single = Confusion(2)
            for confusion in (single, pooled[name]):
                confusion.update_classes(prediction, truth)
            dice = known(single.report()["foreground_dice"])
            images[name].append({"name": field.path.name, "foreground_dice": dice})
    return {name: _figures(pooled[name], images[name]) for name in methods}


def _figures(confusion: Confusion, images: list[dict[str, Any]]) -> Figures:
    report = scores(confusion.matrix)
    dice = [image["foreground_dice"] for image in images if image["foreground_dice"] is not None]
    return {
        "foreground_dice": math.fsum(dice) / len(dice) if dice else None,
        "miou": known(report["miou"]),
        "pixel_accuracy": known(report["pixel_accuracy"]),
        "reference_accuracy": known(report["pixel_accuracy"]),
        "per_class": by_key(GLASS_OR_CELL, report["per_class"]),
        "images": images,
    }
