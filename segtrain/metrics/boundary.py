"""How near the predicted outlines are to the true ones, class by class.

Distances come from scipy on the host, image by image: for evaluation, not for the training loop.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from smearsynth.taxonomy import IGNORE

Mask = npt.NDArray[np.bool_]

_PX = 2**20
"""HD95 is summed in whole multiples of px / _PX, so that the order of images does not matter."""


class Nearness(NamedTuple):
    """Of one class in one image. Outline pixels that lie within the tolerance of the other outline, and all of them;
    hd95: px, None where an outline is missing."""

    near_predicted: int
    predicted: int
    near_true: int
    true: int
    hd95: float | None


class BoundaryScores:
    """Boundary F1 (Csurka et al. 2013) from pixels pooled over the set, and the mean over images of HD95."""

    def __init__(self, classes: int, *, tolerance: float = 2.0) -> None:
        """tolerance: px by which an outline may be off and still be right."""
        self.tolerance = tolerance
        # Columns: the four counts of Nearness, images with both outlines, images with one of them, sum of hd95.
        self._sums = np.zeros((classes, 7), np.int64)

    def update(self, logits: Tensor, label: Tensor) -> None:
        """Takes a batch. logits: float (B, C, H, W). label: uint8 or int64 (B, H, W), 255 = ignored."""
        self.update_classes(logits.argmax(dim=1), label)

    def update_classes(self, prediction: Tensor, label: Tensor) -> None:
        """As `update`, from predicted class ids, integers of the label's shape."""
        for predicted, true in zip(prediction.cpu().numpy(), label.cpu().numpy(), strict=True):
            predicted = np.where(true == IGNORE, IGNORE, predicted)
            for c in np.union1d(predicted, true):
                if c != IGNORE:
                    self._sums[c] += _row(nearness(predicted, true, int(c), self.tolerance))

    def report(self) -> dict[str, Any]:
        """boundary_f1 and hd95 (px), means over the classes that have one; boundaries, a list by class id of
        boundary_f1, hd95, and hd95_images and unmatched_images: how many have both outlines, and only one of them.
        nan where there is nothing to measure."""
        boundaries = [_scores(*row) for row in self._sums.tolist()]
        return {
            "boundary_f1": _mean([scores["boundary_f1"] for scores in boundaries]),
            "hd95": _mean([scores["hd95"] for scores in boundaries]),
            "boundaries": boundaries,
        }


def nearness(predicted: npt.NDArray[np.integer], true: npt.NDArray[np.integer], c: int, tolerance: float) -> Nearness:
    """Class `c` of two label maps (H, W) that hold 255 at the same pixels, the ignored ones.

    hd95: the larger one of the 95th percentiles of the distances from either outline to the other.
    """
    ours, theirs = outline(predicted, c), outline(true, c)
    counts = int(ours.sum()), int(theirs.sum())
    if not all(counts):
        return Nearness(0, counts[0], 0, counts[1], None)
    box = _box(ours | theirs)
    ours, theirs = ours[box], theirs[box]
    to_true = distance_transform_edt(~theirs)[ours]
    to_predicted = distance_transform_edt(~ours)[theirs]
    hd95 = max(float(np.percentile(to_true, 95)), float(np.percentile(to_predicted, 95)))
    near = int((to_true <= tolerance).sum()), int((to_predicted <= tolerance).sum())
    return Nearness(near[0], counts[0], near[1], counts[1], hd95)


def outline(label: npt.NDArray[np.integer], c: int) -> Mask:
    """bool (H, W): pixels of class `c` beside, above or below one of another class. What lies outside the image or is
    ignored is unknown, and makes no outline."""
    other = np.pad((label != c) & (label != IGNORE), 1)
    beside = other[:-2, 1:-1] | other[2:, 1:-1] | other[1:-1, :-2] | other[1:-1, 2:]
    edge: Mask = (label == c) & beside
    return edge


def _box(mask: Mask) -> tuple[slice, slice]:
    """The part of an image that holds a mask: distances between its pixels need no more, and take a fraction of the
    time."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _row(n: Nearness) -> tuple[int, ...]:
    if n.hd95 is None:
        return (*n[:4], 0, n.predicted + n.true > 0, 0)
    return (*n[:4], 1, 0, round(n.hd95 * _PX))


def _scores(
    near_predicted: int, predicted: int, near_true: int, true: int, both: int, one: int, distance: int
) -> dict[str, float]:
    precision, recall = near_predicted / max(predicted, 1), near_true / max(true, 1)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {
        "boundary_f1": f1 if predicted or true else math.nan,
        "hd95": distance / _PX / both if both else math.nan,
        "hd95_images": both,
        "unmatched_images": one,
    }


def _mean(values: list[float]) -> float:
    measured = [value for value in values if not math.isnan(value)]
    return math.fsum(measured) / len(measured) if measured else math.nan
