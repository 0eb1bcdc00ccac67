"""Found cells against true ones: F1 and panoptic quality at an IoU of 0.5, and the error of the count.

A. Kirillov et al., Panoptic segmentation, CVPR 2019: pairs whose intersection over union exceeds 0.5 are unique, so
that nothing has to be assigned.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Map = npt.NDArray[np.integer[Any]]
Numbers = npt.NDArray[np.int64]


class ObjectScores:
    """Adds up images. A found cell is right where it is of the class of the true cell that it matches."""

    def __init__(self, keys: Sequence[str]) -> None:
        """keys: of the classes, background first."""
        self._keys = keys
        n = len(keys)
        # The last place is of all cells, whatever their class.
        self._matched, self._found, self._true = (np.zeros(n + 1, np.int64) for _ in range(3))
        self._iou = np.zeros(n + 1)
        self._off, self._off_by = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.int64)
        self._images = 0

    def update(self, found: Map, found_class: Numbers, true: Map, true_class: Numbers) -> None:
        """One image. found, true: (h, w), 0 = no cell, else 1 + row of `found_class`, `true_class`, int64 (n,), class
        ids from 1."""
        one, other, iou = matches(found, true)
        ours, theirs = found_class[one - 1], true_class[other - 1]
        counted = _by_class(found_class, len(self._keys))
        due = _by_class(true_class, len(self._keys))
        right = ours == theirs
        self._matched += _by_class(ours[right], len(self._keys), total=len(ours))
        self._iou[:-1] += np.bincount(ours[right], iou[right], minlength=len(self._keys))
        self._iou[-1] += iou.sum()
        self._found += counted
        self._true += due
        self._off += np.abs(counted - due)
        self._off_by += counted - due
        self._images += 1

    def report(self) -> dict[str, Any]:
        """Of all cells, whatever class they are taken for, and in `per_class` by key: found and true (how many), f1, pq
        (both pooled over the images), count_error and count_bias (mean over the images of the count's absolute error,
        and of its error, cells). nan where there was nothing to measure."""
        per_class = {key: self._row(i) for i, key in enumerate(self._keys) if i}
        return self._row(len(self._keys)) | {"per_class": per_class}

    def _row(self, i: int) -> dict[str, Any]:
        both = int(self._found[i] + self._true[i])
        return {
            "true": int(self._true[i]),
            "found": int(self._found[i]),
            "f1": 2 * int(self._matched[i]) / both if both else math.nan,
            "pq": 2 * float(self._iou[i]) / both if both else math.nan,
            "count_error": int(self._off[i]) / self._images if self._images else math.nan,
            "count_bias": int(self._off_by[i]) / self._images if self._images else math.nan,
        }


def matches(found: Map, true: Map) -> tuple[Numbers, Numbers, npt.NDArray[np.float64]]:
    """Pairs of cells with an IoU over 0.5: int64 (n,) numbers of found and of true ones, and float64 (n,) their IoU."""
    here, there = found.ravel().astype(np.int64), true.ravel().astype(np.int64)
    area, true_area = np.bincount(here), np.bincount(there)
    both = (here > 0) & (there > 0)
    pairs, shared = np.unique(here[both] * len(true_area) + there[both], return_counts=True)
    one, other = np.divmod(pairs, len(true_area))
    iou = shared / (area[one] + true_area[other] - shared)
    sure = iou > 0.5
    return one[sure], other[sure], iou[sure]


def _by_class(classes: Numbers, n: int, *, total: int | None = None) -> Numbers:
    """int64 (n + 1,): how many of each class, and of all."""
    return np.append(np.bincount(classes, minlength=n), len(classes) if total is None else total)
