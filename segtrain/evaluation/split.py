"""A way of predicting, measured on a whole split. What predicts may be a network or a threshold: all give logits."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from segtrain.data.loader import Loader
from segtrain.data.samples import Classes
from segtrain.evaluation.figures import Figures, by_key, known
from segtrain.metrics import BoundaryScores, CalibrationError, Confusion, ReferenceAccuracy

Predict = Callable[[Tensor], Tensor]
"""u1 (B, 3, H, W) RGB to logits, fp32 (B, classes, H, W), on the same device or another."""


class Measures:
    """Every metric of `segtrain evaluate`."""

    def __init__(self, classes: Classes, device: torch.device, *, boundaries: bool) -> None:
        """boundaries: also compare outlines, which takes many times as long."""
        self._classes = classes
        self._confusion = Confusion(len(classes), device)
        self._reference = ReferenceAccuracy(device)
        self._calibration = CalibrationError(device)
        self._boundary = BoundaryScores(len(classes), device) if boundaries else None

    def update(self, logits: Tensor, label: Tensor) -> None:
        """A batch. logits: fp32 (B, C, H, W). label: u1 (B, H, W), 255 = ignored."""
        for metric in (self._confusion, self._reference, self._calibration, self._boundary):
            if metric is not None:
                metric.update(logits, label)

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """i8 (C, C): pixels, rows truth."""
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
        plain = {name: known(report[name]) for name in names}
        return plain | {"per_class": by_key(self._classes.keys, rows)}


def predictions(predict: Predict, loader: Loader, *, progress: bool) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Every batch of an evaluation as (logits, label on the logits' device, numbers of the samples on the host)."""
    bar = tqdm(loader.epoch(0), total=len(loader), unit="batch", leave=False, disable=None if progress else True)
    with torch.inference_mode():
        for batch in bar:
            logits = predict(batch.image)
            yield logits, batch.label.to(logits.device, non_blocking=True), batch.number
