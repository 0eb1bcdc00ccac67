"""Predictions measured on a split of a dataset: pixel by pixel, image by image, and cell by cell.

What predicts may be a network or a threshold: anything that gives logits. Cells can only be measured in sets that
smearsynth built, for these know their instances.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segtrain.counting.cell_measures import measure_cells
from segtrain.data.dataloader import Loader
from segtrain.data.sampler import Index
from segtrain.data.samples import Classes, Shards
from segtrain.evaluation.figures import Figures, by_key, none_if_nan, without_nan
from segtrain.metrics.boundary import BoundaryScores
from segtrain.metrics.calibration import CalibrationError
from segtrain.metrics.cell_naming import CellNaming
from segtrain.metrics.confusion import Confusion, ReferenceAccuracy, per_image, whole_scores
from segtrain.metrics.object_scores import ObjectScores
from segtrain.training.device import Compute
from smearsynth.base.errors import UserError
from smearsynth.base.progress import with_progress

Predict = Callable[[Tensor], Tensor]
"""uint8 (B, 3, H, W) RGB to logits, float32 (B, classes, H, W), on the same device or another."""
Ints = npt.NDArray[np.int64]
_FIELDS = ("class", "cell", "visible", "full")
"""Columns of `objects` that are needed here."""


class PixelMetrics:
    """Every metric of `segtrain evaluate`."""

    def __init__(self, classes: Classes, device: torch.device, *, boundaries: bool) -> None:
        """boundaries: also compare outlines, which takes many times as long."""
        self._classes = classes
        self._confusion = Confusion(len(classes), device)
        self._reference = ReferenceAccuracy(device)
        self._calibration = CalibrationError(device)
        self._boundary = BoundaryScores(len(classes)) if boundaries else None

    def update(self, logits: Tensor, label: Tensor) -> None:
        """A batch. logits: float32 (B, C, H, W). label: uint8 (B, H, W), 255 = ignored."""
        for metric in (self._confusion, self._reference, self._calibration, self._boundary):
            if metric is not None:
                metric.update(logits, label)

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """int64 (C, C): pixels, rows truth."""
        return self._confusion.matrix.numpy()

    @property
    def calibration(self) -> list[dict[str, float]]:
        """Bins of confidence, as `CalibrationError` reports them."""
        bins: list[dict[str, float]] = self._calibration.report()["calibration"]
        return bins

    def figures(self) -> Figures:
        """miou, pixel_accuracy, reference_accuracy, foreground_dice, calibration_error; boundary_f1 and hd95 where
        outlines were compared; per_class: the same of each class, by key. None where there is nothing to measure, as
        for a class that is neither in the truth nor predicted."""
        report = self._confusion.report() | self._reference.report() | self._calibration.report()
        names = ["miou", "pixel_accuracy", "reference_accuracy", "foreground_dice", "calibration_error"]
        rows = [dict(row) for row in report["per_class"]]
        if self._boundary is not None:
            report |= self._boundary.report()
            names += ["boundary_f1", "hd95"]
            for row, boundary in zip(rows, report["boundaries"], strict=True):
                row |= boundary
        plain = {name: none_if_nan(report[name]) for name in names}
        return plain | {"per_class": by_key(self._classes.keys, rows)}


def predictions(predict: Predict, loader: Loader, *, progress: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Every batch of an evaluation as (logits, label on the logits' device, numbers of the samples on the host)."""
    bar = with_progress(loader.epoch(0), what="predict", unit="batches", total=len(loader), shown=progress)
    with torch.inference_mode():
        for batch in bar:
            logits = predict(batch.image)
            yield logits, batch.label.to(logits.device, non_blocking=True), batch.number


@dataclass(frozen=True, kw_only=True)
class ObjectHits:
    """The visible cells of a split, a row each; all int64 (n,).

    image: index of the cell's image among those measured. cell: its row in the bank. visible, full, right: pixels that
    are visible, that the whole cell has, and that are visible and predicted as its class.
    """

    image: Ints
    class_id: Ints
    cell: Ints
    visible: Ints
    full: Ints
    right: Ints


class _HitCounter:
    """Counts the rightly predicted pixels of each cell, batch by batch."""

    def __init__(self, shards: Shards) -> None:
        self._shards, self._images = shards, 0
        self._columns = [shards.header.fields.index(name) for name in _FIELDS]
        self._rows: list[Ints] = []

    @classmethod
    def of(cls, shards: Shards) -> Self | None:
        """None for a set that does not know its cells."""
        return cls(shards) if set(_FIELDS) <= set(shards.header.fields) else None

    def update(self, prediction: Tensor, label: Tensor, numbers: Tensor) -> None:
        """prediction, label: (B, H, W), class ids. numbers: of the samples. UserError where the set is damaged."""
        for right, number in zip((prediction == label).cpu().numpy(), numbers.tolist(), strict=True):
            objects, instance = self._shards.objects(number), self._shards.instance(number)
            hits = np.bincount(instance[right], minlength=len(objects) + 1)[1:]
            image = np.full(len(objects), self._images)
            self._rows.append(np.column_stack([image, objects[:, self._columns], hits]).astype(np.int64))
            self._images += 1

    def result(self) -> ObjectHits:
        """Of all images so far."""
        rows = np.concatenate([np.zeros((0, len(_FIELDS) + 2), np.int64), *self._rows])
        rows = rows[rows[:, 3] > 0]
        image, class_id, cell, visible, full, right = rows.T
        return ObjectHits(image=image, class_id=class_id, cell=cell, visible=visible, full=full, right=right)


@dataclass(frozen=True, kw_only=True)
class MeasuredSplit:
    """numbers: int64 (N,), of the images in `shards`. matrices: int64 (N, C, C), the confusion matrix of each, rows
    truth. objects: None where the set does not know its cells, or they were not asked for. images_per_second: of the
    network alone, from pixels in memory to logits; nan of a single batch."""

    shards: Shards
    numbers: Index
    metrics: PixelMetrics
    matrices: npt.NDArray[np.int64]
    objects: ObjectHits | None
    images_per_second: float

    @property
    def scores(self) -> list[float]:
        """mIoU of each image over the classes in its truth or prediction; nan where all is ignored."""
        found: list[float] = whole_scores(torch.from_numpy(self.matrices))["miou"].tolist()
        return found

    @property
    def units(self) -> Index:
        """As `units_of` says."""
        return units_of(self.shards, self.numbers)


def units_of(shards: Shards, numbers: Index) -> Index:
    """int64 (N,) of numbers of samples: those of one number belong together, as looks of one scene, or what the set
    calls a group."""
    group, scene = shards.groups, shards.column("scene")
    unit = scene if group is None else group
    return numbers if unit is None else unit[numbers].astype(np.int64)


def measure_images(
    predict: Predict,
    shards: Shards,
    samples: Index | None,
    *,
    batch: int,
    compute: Compute,
    objects: bool,
    progress: bool,
) -> MeasuredSplit:
    """samples: numbers of those to measure, None for all. objects: whether cells are looked at one by one, where the
    set knows them."""
    metrics = PixelMetrics(shards.classes, compute.device, boundaries=False)
    timed, hits = _TimedPredict(predict), _HitCounter.of(shards) if objects else None
    numbers, matrices = [], []
    with closing(Loader(shards, batch=batch, shuffle=False, samples=samples, device=compute.device)) as loader:
        for logits, label, number in predictions(timed, loader, progress=progress):
            prediction = logits.argmax(dim=1)
            metrics.update(logits, label)
            matrices.append(per_image(prediction, label, len(shards.classes)).cpu().numpy())
            numbers.append(number.numpy())
            if hits is not None:
                hits.update(prediction, label, number)
    return MeasuredSplit(
        shards=shards,
        numbers=np.concatenate(numbers),
        metrics=metrics,
        matrices=np.concatenate(matrices),
        objects=None if hits is None else hits.result(),
        images_per_second=timed.images_per_second,
    )


class _TimedPredict:
    """`predict`, timed; the first batch, which also prepares the device, is left out."""

    def __init__(self, predict: Predict) -> None:
        self._predict, self._begun = predict, False
        self._images, self._seconds = 0, 0.0

    def __call__(self, image: Tensor) -> Tensor:
        start = time.perf_counter()
        logits = self._predict(image)
        if logits.device.type == "cuda":
            torch.cuda.synchronize(logits.device)
        if self._begun:
            self._images += len(image)
            self._seconds += time.perf_counter() - start
        self._begun = True
        return logits

    @property
    def images_per_second(self) -> float:
        """nan before the second batch."""
        return self._images / self._seconds if self._images else float("nan")


class NamedTruth:
    """`CellNaming` of a dataset that knows its cells."""

    def __init__(self, shards: Shards, device: torch.device) -> None:
        self._shards = shards
        self._naming = CellNaming(shards.classes.keys, shards.most_cells, device)

    def update(self, logits: Tensor, label: Tensor, number: Tensor) -> None:
        """A batch. logits: float32 (B, C, H, W). label: uint8 (B, H, W). number: int64 (B,), of the samples."""
        instance = np.stack([self._shards.instance(i) for i in number.tolist()]).astype(np.int32)
        self._naming.update(logits, label, torch.from_numpy(instance).to(label.device))

    def figures(self) -> Figures:
        """As `CellNaming.report` says; None where there was nothing to measure."""
        return without_nan(self._naming.report())


class CellCounts:
    """What counting makes of a network's prediction, against the `instance` maps of a dataset."""

    def __init__(self, shards: Shards) -> None:
        """Raises UserError where the set does not know its cells."""
        if not shards.header.fields:
            raise UserError(
                f"{shards.root} does not say which pixels are of one cell, as sets do that smearsynth built: leave it "
                "out",
                "objects",
            )
        self._shards, self._keys = shards, shards.classes.keys
        self._scores = ObjectScores(self._keys)

    def update(self, logits: Tensor, number: Tensor) -> None:
        """A batch. logits: float32 (B, C, H, W). number: int64 (B,), of the samples."""
        best = logits.softmax(dim=1).max(dim=1)
        labels = best.indices.byte().cpu().numpy()
        confidences = (best.values * 255).round().byte().cpu().numpy()
        for label, confidence, i in zip(labels, confidences, number.tolist(), strict=True):
            found = measure_cells(label, confidence, keys=self._keys, um_per_px=self._shards.um_per_px)
            classes = found.class_ids(self._keys)[1:].astype(np.int64)
            true, kinds = true_cells(self._shards, i)
            self._scores.update(found.map, classes, true, kinds)

    def figures(self) -> Figures:
        """As `ObjectScores.report` says; None where there was nothing to measure."""
        return without_nan(self._scores.report())


def true_cells(shards: Shards, i: int) -> tuple[Ints, Ints]:
    """As `numbered`, of a sample."""
    return numbered(shards.instance(i), shards.read(i)[1])


def numbered(instance: npt.NDArray[np.integer[Any]], label: npt.NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """The cells of a map, 0 = none, int64 (H, W), numbered anew from 1 without gaps, and the class of each, int64
    (n,): that of its first pixel in `label`, uint8 (H, W)."""
    numbers, first, dense = np.unique(instance, return_index=True, return_inverse=True)
    shift = 0 if numbers[0] == 0 else 1
    return dense.reshape(instance.shape) + shift, label.ravel()[first[1 - shift :]].astype(np.int64)
