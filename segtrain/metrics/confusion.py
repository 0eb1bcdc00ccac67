"""The confusion matrix of a whole set, and what follows from it.

One matrix over all pixels, in whole numbers: means of per-image values weigh a pixel by how rare its class is in its
image, and float sums stop counting at 2 ** 24.
"""

import math
from typing import Any

import torch
from torch import Tensor

from segtrain.metrics.count import count
from segtrain.metrics.pooled import add_up
from smearsynth.errors import UserError
from smearsynth.taxonomy import IGNORE


class Confusion:
    """Counts pixels by true class and predicted class, on the device; 255 in the truth is left out."""

    def __init__(self, classes: int, device: torch.device | str = "cpu") -> None:
        self.classes = classes
        # The last two count what no row has: ignored pixels, and labels that are no class.
        self._counts = torch.zeros(classes * classes + 2, dtype=torch.int64, device=device)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Takes a batch. logits: float (B, C, H, W). label: u1 or i8 (B, H, W). Never waits for the device."""
        self.update_classes(logits.argmax(dim=1), label)

    def update_classes(self, prediction: Tensor, label: Tensor) -> None:
        """As `update`, from predicted class ids, integers of the label's shape."""
        prediction, label = prediction.to(torch.int32), label.to(torch.int32)
        pairs = self.classes * self.classes
        outside = torch.where(label == IGNORE, pairs, pairs + 1)
        number = torch.where(label < self.classes, label * self.classes + prediction, outside)
        self._counts += count(number, pairs + 2)

    def all_reduce(self) -> None:
        """Adds up the counts of all processes, in all of them."""
        add_up(self._counts)

    @property
    def matrix(self) -> Tensor:
        """i8 (C, C) on the CPU: pixels, rows truth, columns prediction. UserError where a label was no class."""
        counts = self._counts.cpu()
        if counts[-1]:
            raise UserError(
                f"{int(counts[-1]):,} pixels have a label that is neither a class (0 to {self.classes - 1}) nor "
                f"{IGNORE}: the labels are of another taxonomy; import or build the set again."
            )
        return counts[:-2].reshape(self.classes, self.classes)

    def report(self) -> dict[str, Any]:
        """What `scores` makes of the matrix."""
        return scores(self.matrix)


def scores(matrix: Tensor) -> dict[str, Any]:
    """Plain numbers from a confusion matrix, i8 (C, C), rows truth.

    pixel_accuracy; miou, the mean of IoU over the classes that have one; foreground_dice, all classes but 0 against
    class 0; per_class, a list by id of pixels (true), iou, dice, precision, recall. Where a fraction is 0 / 0 it is
    nan: IoU and Dice of a class that is in neither truth nor prediction.
    """
    matrix = matrix.to(torch.int64)
    hit, true, predicted = matrix.diagonal(), matrix.sum(dim=1), matrix.sum(dim=0)
    per_class = [_class_scores(*counts) for counts in zip(hit.tolist(), true.tolist(), predicted.tolist(), strict=True)]
    ious = [scores["iou"] for scores in per_class if not math.isnan(scores["iou"])]
    cells = int(matrix[1:, 1:].sum())
    return {
        "pixel_accuracy": _fraction(int(hit.sum()), int(matrix.sum())),
        "miou": _fraction(math.fsum(ious), len(ious)),
        "foreground_dice": _fraction(2 * cells, int(matrix[1:].sum()) + int(matrix[:, 1:].sum())),
        "per_class": per_class,
    }


def _class_scores(hit: int, true: int, predicted: int) -> dict[str, float]:
    return {
        "pixels": true,
        "iou": _fraction(hit, true + predicted - hit),
        "dice": _fraction(2 * hit, true + predicted),
        "precision": _fraction(hit, predicted),
        "recall": _fraction(hit, true),
    }


def _fraction(part: float, whole: int) -> float:
    return part / whole if whole else math.nan
