"""Metrics of pixels, from one confusion matrix of a whole set in whole numbers.

Means of per-image values weigh a pixel by how rare its class is in its image, and float sums stop counting at 2 ** 24.
Beside it the pixel accuracy as the reference study measures its own.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from smearsynth.base.errors import UserError
from smearsynth.taxonomy import IGNORE


class Confusion:
    """Counts pixels by true class and predicted class, on the device; 255 in the truth is left out."""

    def __init__(self, classes: int, device: torch.device | str = "cpu") -> None:
        self.classes = classes
        # The last two count what no row has: ignored pixels, and labels that are no class.
        self._counts = torch.zeros(classes * classes + 2, dtype=torch.int64, device=device)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Takes a batch. logits: float (B, C, H, W). label: uint8 or int64 (B, H, W). Never waits for the device."""
        self.update_classes(logits.argmax(dim=1), label)

    def update_classes(self, prediction: Tensor, label: Tensor) -> None:
        """As `update`, from predicted class ids, integers of the label's shape."""
        self._counts += count(_pair_numbers(prediction, label, self.classes), self.classes * self.classes + 2)

    def all_reduce(self) -> None:
        """Adds up the counts of all processes, in all of them."""
        add_up(self._counts)

    @property
    def matrix(self) -> Tensor:
        """int64 (C, C) on the CPU: pixels, rows truth, columns prediction. UserError where a label was no class."""
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


def per_image(prediction: Tensor, label: Tensor, classes: int) -> Tensor:
    """int64 (B, C, C) on their device: the confusion matrix of each image, rows truth; what is no class is left out.

    prediction: integers (B, H, W), class ids. label: uint8 or int64 (B, H, W), 255 = ignored.
    """
    images, numbers = len(label), classes * classes + 2
    first = torch.arange(images, dtype=torch.int32, device=label.device) * numbers
    number = _pair_numbers(prediction, label, classes) + first[:, None, None]
    return count(number, images * numbers).reshape(images, numbers)[:, :-2].reshape(images, classes, classes)


def scores(matrix: Tensor) -> dict[str, Any]:
    """Plain numbers from a confusion matrix, int64 (C, C), rows truth.

    What `whole_scores` gives; per_class, a list by id of pixels (true) and what `class_scores` gives.
    """
    columns = {"pixels": matrix.sum(dim=1), **class_scores(matrix)}
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return {
        **{name: float(value) for name, value in whole_scores(matrix).items()},
        "per_class": [dict(zip(columns, row, strict=True)) for row in rows],
    }


def class_scores(matrix: Tensor) -> dict[str, Tensor]:
    """iou, dice, precision, recall of each class, float64 (..., C), of confusion matrices (..., C, C), rows truth.

    Where a fraction is 0 / 0 it is nan: IoU and Dice of a class that is in neither truth nor prediction.
    """
    # Exact: fp64 holds every number of pixels below 2 ** 53.
    hit = matrix.diagonal(dim1=-2, dim2=-1).double()
    true, predicted = (matrix.sum(dim=dim).double() for dim in (-1, -2))
    return {
        "iou": hit / (true + predicted - hit),
        "dice": 2 * hit / (true + predicted),
        "precision": hit / predicted,
        "recall": hit / true,
    }


def whole_scores(matrix: Tensor) -> dict[str, Tensor]:
    """float64 (...,) of confusion matrices (..., C, C): pixel_accuracy; miou, the mean of IoU over the classes that
    have one; foreground_dice, all classes but 0 against class 0. nan where there is nothing to measure."""
    pixels = matrix.double()
    hit, true, predicted = (pixels[..., rows, columns].sum(dim=(-2, -1)) for rows, columns in _FOREGROUND)
    return {
        "pixel_accuracy": pixels.diagonal(dim1=-2, dim2=-1).sum(dim=-1) / pixels.sum(dim=(-2, -1)),
        "miou": class_scores(matrix)["iou"].nanmean(dim=-1),
        "foreground_dice": 2 * hit / (true + predicted),
    }


WHOLE = ("miou", "pixel_accuracy", "foreground_dice")
OF_CLASS = ("iou", "dice", "precision", "recall")


def all_scores(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64 (B, 3 + 4 C) of confusion matrices, float64 (B, C, C), as the bootstrap takes it: `WHOLE`, then each of
    `OF_CLASS` for all classes."""
    matrix = torch.from_numpy(sums)
    whole, of_class = whole_scores(matrix), class_scores(matrix)
    columns = [*(whole[key][:, None] for key in WHOLE), *(of_class[key] for key in OF_CLASS)]
    return torch.cat(columns, dim=1).numpy()


_FOREGROUND = ((slice(1, None), slice(1, None)), (slice(1, None), slice(None)), (slice(None), slice(1, None)))
"""Parts of a matrix: cells that are found, all in the truth, all in the prediction."""


class ReferenceAccuracy:
    """Share of pixels whose foreground channels are all right: softmax over 0.5 exactly where the truth is the class.

    The background channel is left out. So a pixel of background is right as soon as no cell is over 0.5, however
    unsure the network is, and one of a cell only when its class is over 0.5: stricter than pixel accuracy there,
    laxer here.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._counts = torch.zeros(2, dtype=torch.int64, device=device)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Takes a batch. logits: float (B, C, H, W). label: uint8 or int64 (B, H, W), 255 = ignored. Never waits."""
        probability, prediction = logits.float().softmax(dim=1).max(dim=1)
        # At most one channel is over 0.5, so that all channels agree when that one, or none for background, is right.
        prediction = torch.where(probability > 0.5, prediction, 0)
        self._counts += torch.stack([(prediction == label).sum(), (label != IGNORE).sum()])

    def all_reduce(self) -> None:
        """Adds up the counts of all processes, in all of them."""
        add_up(self._counts)

    def report(self) -> dict[str, float]:
        """reference_accuracy, 0 to 1; nan before any pixel."""
        right, pixels = self._counts.tolist()
        return {"reference_accuracy": right / pixels if pixels else math.nan}


def _pair_numbers(prediction: Tensor, label: Tensor, classes: int) -> Tensor:
    """int32 of the label's shape: row * C + column of each pixel's place in the matrix; C * C where it is ignored, one
    more where its label is no class."""
    prediction, label = prediction.to(torch.int32), label.to(torch.int32)
    outside = torch.where(label == IGNORE, classes * classes, classes * classes + 1)
    return torch.where(label < classes, label * classes + prediction, outside)


def add_up(sums: Tensor) -> None:
    """Replaces `sums` by their total over all processes, in all of them."""
    if dist.is_initialized():
        dist.all_reduce(sums)


def count(numbers: Tensor, n: int) -> Tensor:
    """int64 (n,): how often each of 0 to n - 1 occurs in `numbers`, integers in that range and of any shape.

    Exact at any size and deterministic. torch's bincount makes a CUDA device wait for its largest number, so there it
    is a sort instead.
    """
    if numbers.device.type == "cpu":
        return torch.bincount(numbers.flatten(), minlength=n)
    return count_by_sorting(numbers, n)


def count_by_sorting(numbers: Tensor, n: int) -> Tensor:
    """As `count`, and never waits for the device."""
    ascending = numbers.flatten().to(torch.int32).sort().values
    limits = torch.arange(n + 1, dtype=torch.int32, device=numbers.device)
    return torch.searchsorted(ascending, limits).diff()
