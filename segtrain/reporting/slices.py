"""Figures of parts of a split: where a network is better than its mean says, and where worse."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from segtrain.data.samples import CellSources
from segtrain.evaluation.figures import NAMES
from segtrain.evaluation.set_evaluation import MeasuredSplit, ObjectHits
from segtrain.metrics.bootstrap import Estimate, Floats, bootstrap
from segtrain.metrics.confusion import class_scores, whole_scores

BACKGROUNDS = ("no red cells", "healthy red cells", "infected red cells", "healthy and infected red cells")
"""By the number in `background`, as `smearsynth.shards.format` defines it."""
_OF_IMAGES = ("images", "classes of cells"), tuple(NAMES[key] for key in ("pixel_accuracy", "foreground_dice", "miou"))
_OF_OBJECTS = ("cells",), ("recall of their pixels", "cells of which half is right")
_DENSITIES = 4
_VISIBLE = (0.25, 0.5, 0.75, 1.0)
_VISIBLE_NAMES = ("under 25 %", "25 to 50 %", "50 to 75 %", "75 to 100 %", "whole")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Slice:
    """A row: counts and estimates, in the order of the columns of their table."""

    name: str
    counts: tuple[int, ...]
    estimates: list[Estimate]


@dataclass(frozen=True)
class Slices:
    """A table of slices. counts, figures: names of its columns. missing: why it has no rows."""

    title: str
    description: str
    counts: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    rows: tuple[Slice, ...] = ()
    missing: str = ""


def slices(measured: MeasuredSplit, names: Sequence[str], sources: CellSources | None) -> list[Slices]:
    """Every table; those that the set has no data for say why. names: of the classes."""
    return [
        _by_background(measured),
        _by_look(measured),
        _by_density(measured),
        _by_source(measured, names, sources),
        _by_visibility(measured),
    ]


def _by_background(measured: MeasuredSplit) -> Slices:
    title, description = "By background", "Which red cells lie in an image, as its recipe planned it."
    background = measured.shards.column("background")
    if background is None:
        return Slices(title, description, missing="The set does not record which red cells an image holds.")
    mine = background[measured.numbers]
    return Slices(
        title, description, *_OF_IMAGES, _of_images(measured, ((name, mine == i) for i, name in enumerate(BACKGROUNDS)))
    )


def _by_look(measured: MeasuredSplit) -> Slices:
    title, description, looks = "By look", "How the images are coloured.", measured.shards.header.looks
    look = measured.shards.column("look")
    if look is None or len(looks) == 1:
        return Slices(title, description, missing=f"All images are of one look, {looks[0]}.")
    mine = look[measured.numbers]
    return Slices(
        title, description, *_OF_IMAGES, _of_images(measured, ((name, mine == i) for i, name in enumerate(looks)))
    )


def _by_density(measured: MeasuredSplit) -> Slices:
    title, description = "By density", "Cells of which something shows, per image, in bands of about as many images."
    if measured.objects is None:
        return Slices(title, description, missing="The set does not know single cells.")
    cells = np.bincount(measured.objects.image, minlength=len(measured.numbers))
    edges = np.unique(np.quantile(cells, np.linspace(0, 1, _DENSITIES + 1), method="nearest"))
    band = np.searchsorted(edges[1:-1], cells, side="right")
    held = [(cells[band == i], band == i) for i in np.unique(band)]
    named = ((f"{of.min()} to {of.max()} cells" if of.min() < of.max() else f"{of.min()} cells", m) for of, m in held)
    return Slices(title, description, *_OF_IMAGES, _of_images(measured, named))


def _by_source(measured: MeasuredSplit, names: Sequence[str], sources: CellSources | None) -> Slices:
    title = "By source of the cell"
    description = "A class that is recognised in one source and not in another was perhaps learnt by its source."
    objects = measured.objects
    if objects is None:
        return Slices(title, description, missing="The set does not know single cells.")
    if sources is None:
        return Slices(
            title, description, missing="The bank that says where each cell is from does not lie beside the shards."
        )
    source = sources.of(objects.cell)
    parts = (
        (f"{name}, {of}", (objects.class_id == i) & (source == j))
        for i, name in enumerate(names)
        for j, of in enumerate(sources.names)
    )
    return Slices(title, description, *_OF_OBJECTS, _of_objects(measured, objects, parts))


def _by_visibility(measured: MeasuredSplit) -> Slices:
    title = "By visible share of the cell"
    description = (
        "The rest of a cell lies under another, or outside the image. All classes together, so mostly red cells."
    )
    objects = measured.objects
    if objects is None:
        return Slices(title, description, missing="The set does not know single cells.")
    band = np.searchsorted(_VISIBLE, objects.visible / objects.full, side="right")
    parts = ((name, band == i) for i, name in enumerate(_VISIBLE_NAMES))
    return Slices(title, description, *_OF_OBJECTS, _of_objects(measured, objects, parts))


def _of_images(measured: MeasuredSplit, parts: Iterable[tuple[str, Mask]]) -> tuple[Slice, ...]:
    return tuple(_images(name, measured.matrices[mine], measured.units[mine]) for name, mine in parts if mine.any())


def _images(name: str, matrices: npt.NDArray[np.int64], units: npt.NDArray[np.int64]) -> Slice:
    held = torch.from_numpy(matrices.sum(axis=(0, 2)) > 0)

    def figures(sums: Floats) -> Floats:
        """Of mIoU only classes that the slice holds: one that it lacks has IoU 0 from the first wrong pixel on."""
        matrix = torch.from_numpy(sums)
        whole, iou = whole_scores(matrix), class_scores(matrix)["iou"][:, held]
        return torch.stack([whole["pixel_accuracy"], whole["foreground_dice"], iou.nanmean(dim=1)], dim=1).numpy()

    return Slice(name, (len(matrices), int(held[1:].sum())), bootstrap(matrices, units, figures))


def _of_objects(measured: MeasuredSplit, objects: ObjectHits, parts: Iterable[tuple[str, Mask]]) -> tuple[Slice, ...]:
    return tuple(_cells(name, measured, objects, mine) for name, mine in parts if mine.any())


def _cells(name: str, measured: MeasuredSplit, objects: ObjectHits, mine: Mask) -> Slice:
    right, visible = objects.right[mine], objects.visible[mine]
    counts = np.zeros((len(measured.numbers), 4))
    np.add.at(counts, objects.image[mine], np.column_stack([right, visible, 2 * right >= visible, visible > 0]))

    def figures(sums: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.column_stack([sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 3]])

    return Slice(name, (int(mine.sum()),), bootstrap(counts, measured.units, figures))
