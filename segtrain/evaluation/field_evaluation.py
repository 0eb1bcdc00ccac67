"""Methods that tell cells from glass, measured on real fields at native resolution; pictures of their errors.

Where an expert boxed the cells of a field, those that a network counts are held against the boxes.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from segtrain.counting.cell_measures import FieldCells, MeasuredCell
from segtrain.evaluation.figures import Figures, by_key, none_if_nan
from segtrain.metrics.confusion import Confusion, scores
from smearsynth.base.progress import with_progress
from smearsynth.fields.field_folder import Field, Mask
from smearsynth.fields.scale import to_native
from smearsynth.taxonomy import CLASSES, FOREGROUND_CLASSES, IGNORE, UNSURE

Method = Callable[[Field], Mask]
"""A field to bool (H, W), true where a cell is."""
GLASS_OR_CELL = ("background", "cell")

GLASS_AS_CELL, CELL_AS_GLASS = (230, 30, 30), (30, 60, 230)
"""RGB of the two errors: glass taken for a cell, and a cell for glass."""
_MAX_SIDE = 1600
"""Pixels of a picture's longer side, at most."""
_BOXED_RED = range(5)
"""Classes of boxes that are red cells, as BBBC041 numbers them: 0 healthy, 1 to 4 stages of the infection; 5 is a white
cell."""
_NOT_RED = {UNSURE, *(CLASSES[i].key for i in FOREGROUND_CLASSES)}


def measure_fields(
    fields: Iterable[Field], methods: Mapping[str, Method], *, progress: bool = True
) -> dict[str, Figures]:
    """The figures of each method.

    foreground_dice: mean over the images, without those where neither truth nor prediction has a cell. miou,
    pixel_accuracy and per_class (of background and cell): from the pixels of all images pooled. reference_accuracy:
    with one foreground channel the same as pixel_accuracy. images: name and foreground_dice of each. Cells without a
    box are left out of all of them, in fields with boxes.
    """
    pooled = {name: Confusion(2) for name in methods}
    images: dict[str, list[dict[str, Any]]] = {name: [] for name in methods}
    for field in with_progress(fields, what="measure", unit="images", shown=progress):
        truth = torch.from_numpy(np.where(field.counted, field.cells, IGNORE).astype(np.uint8))
        for name, method in methods.items():
            prediction = torch.from_numpy(method(field))
            single = Confusion(2)
            for confusion in (single, pooled[name]):
                confusion.update_classes(prediction, truth)
            dice = none_if_nan(single.report()["foreground_dice"])
            images[name].append({"name": field.name, "foreground_dice": dice})
    return {name: _figures(pooled[name], images[name]) for name in methods}


def _figures(confusion: Confusion, images: list[dict[str, Any]]) -> Figures:
    report = scores(confusion.matrix)
    dice = [image["foreground_dice"] for image in images if image["foreground_dice"] is not None]
    return {
        "foreground_dice": math.fsum(dice) / len(dice) if dice else None,
        "miou": none_if_nan(report["miou"]),
        "pixel_accuracy": none_if_nan(report["pixel_accuracy"]),
        "reference_accuracy": none_if_nan(report["pixel_accuracy"]),
        "per_class": by_key(GLASS_OR_CELL, report["per_class"]),
        "images": images,
    }


def count_boxed(field: Field, found: FieldCells) -> Figures:
    """boxed: how many of a field's boxes are red cells. counted: how many cells the network finds that are neither
    white cells nor platelets nor unsure.

    Experts mostly leave cells at the border without a box. So a cell that the border cuts is left out where its centre
    is in no box, as is one that is mostly where the field's truth does not count. found: in pixels of the field.
    """
    assert field.boxes is not None, "of fields with boxes only"
    judged = to_native(field.counted.astype(np.float32), found.map.shape) >= 0.5
    area = np.bincount(found.map.ravel(), minlength=len(found.cells) + 1)
    judged_area = np.bincount(found.map[judged], minlength=len(found.cells) + 1)
    seen = [
        cell for cell in found.cells if cell.kind not in _NOT_RED and 2 * judged_area[cell.number] >= area[cell.number]
    ]
    return {
        "boxed": int(np.isin(field.boxes[:, 0], _BOXED_RED).sum()),
        "counted": sum(not cell.borders or _is_boxed(cell, field) for cell in seen),
    }


def _is_boxed(cell: MeasuredCell, field: Field) -> bool:
    assert field.boxes is not None
    left, top, right, bottom = field.boxes[:, 1:].T
    return bool(((left <= cell.x) & (cell.x < right) & (top <= cell.y) & (cell.y < bottom)).any())


def error_picture(field: Field, found: Mask) -> npt.NDArray[np.uint8]:
    """uint8 (H, W, 3): the field in faded grey, wrong pixels in colour, dark where nothing is counted.

    found: bool (H, W), what the network takes for a cell.
    """
    grey = field.image.mean(axis=2, keepdims=True)
    picture = np.repeat(128 + grey / 2, 3, axis=2)
    picture[~field.counted] *= 0.5
    picture[found & ~field.cells & field.counted] = GLASS_AS_CELL
    picture[field.cells & ~found & field.counted] = CELL_AS_GLASS
    return picture.astype(np.uint8)


def save_errors(field: Field, found: Mask, folder: Path) -> None:
    """Writes the picture as NAME.png into `folder`, shrunk to a width that a screen shows."""
    picture = Image.fromarray(error_picture(field, found))
    picture.thumbnail((_MAX_SIDE, _MAX_SIDE), Image.Resampling.BOX)
    name = Path(field.name or field.path.name).with_suffix("").as_posix()
    picture.save(folder / f"{name.replace('/', '_')}.png")
