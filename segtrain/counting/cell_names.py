"""By what each cell of a field is named: the evidence of all its pixels, or what a second network sees in its crop."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from segtrain.counting.watershed_split import Labels
from segtrain.data.cell_crops import crop_at
from segtrain.inference.field_prediction import LEAST
from segtrain.inference.ready_networks import VIEWS, Networks
from smearsynth.base.images import Pixels
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, INFECTED_RBC

Names = Callable[[Labels, int], npt.NDArray[np.float64]]
"""A map of n cells and n, to float64 (n, classes): logarithms of the probabilities by which each is named."""
_GLANCES, _PLAIN = (0, 5), 0.8
"""Views by which each cell is named first, and the probability of a healthy red cell in both from which it is one."""


def red_ids(keys: Sequence[str]) -> tuple[int, int] | None:
    """Those of infected and healthy red cells, None where a network does not tell them apart."""
    infected, healthy = CLASSES[INFECTED_RBC].key, CLASSES[HEALTHY_RBC].key
    return (keys.index(infected), keys.index(healthy)) if {infected, healthy} <= set(keys) else None


def mean_evidence(evidence: npt.NDArray[np.floating[Any]], cells: Labels, count: int) -> npt.NDArray[np.float64]:
    """float64 (n, classes): mean over each cell of `evidence`, (classes, H, W)."""
    number = cells.ravel()
    area = np.bincount(number, minlength=count + 1)[1:]
    sums = [np.bincount(number, plane.ravel(), minlength=count + 1)[1:] for plane in evidence]
    return np.stack(sums, axis=1) / area[:, None]


def name_crops(namer: Networks, pixels: Pixels, cells: Labels, count: int) -> npt.NDArray[np.float64]:
    """float64 (n, classes): of each cell, named on a crop of its own, the logarithm of the probability of every class.

    Most cells of blood are healthy red cells, and most of these are plainly so: where `_GLANCES` agree on that, the
    other views are spared.

    pixels: uint8 (H, W, 3) RGB at the scale of `namer`. cells: int32 (H, W), 0 = no cell, else 1 to `count`.
    """
    assert namer.crop is not None, "it names single cells"
    side = namer.crop
    corners = [
        ((columns.start + columns.stop) // 2 - side // 2, (rows.start + rows.stop) // 2 - side // 2)
        for rows, columns in ndimage.find_objects(cells, count)
    ]

    def seen(numbers: npt.NDArray[np.int64], views: Sequence[int]) -> npt.NDArray[np.float64]:
        found = np.zeros((len(numbers), len(namer.classes)))
        for first in range(0, len(numbers), namer.batch):
            batch = slice(first, first + namer.batch)
            places = (corners[number] for number in numbers[batch])
            crops = np.stack([crop_at(pixels, left, top, side) for left, top in places])
            found[batch] = namer(crops, views)[:, :, 0, 0]
        return found

    glances = np.stack([seen(np.arange(count), (view,)) for view in _GLANCES])
    mean, red = glances.mean(axis=0), red_ids(namer.classes.keys)
    plain = (glances[:, :, red[1]] >= _PLAIN).all(axis=0) if red else np.zeros(count, bool)
    others = [view for view in range(VIEWS) if view not in _GLANCES]
    seen_by_others = seen(np.flatnonzero(~plain), others)
    mean[~plain] = (len(_GLANCES) * mean[~plain] + len(others) * seen_by_others) / VIEWS
    return np.log(np.maximum(mean, LEAST))
