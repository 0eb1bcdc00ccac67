"""Instance maps in the forms in which other tools keep cells: outlines, and run-lengths.

An outline runs along the sides of pixels: the first pixel is the square from (0, 0) to (1, 1). So it encloses the
pixels of its cell and no others, in ImageJ, QuPath and whatever else takes a pixel whose centre an outline encloses.

The run-length encoding is that of `maskApi.c` of the COCO API, written here because pycocotools would be a dependency
for it alone, and encodes a mask per cell, which makes large fields slow; `encode_instances` encodes a map at once. A
mask is read column by column; its runs have the lengths c0, c1, ... of pixels out, in, out and so on. From the fourth
on a length is stored as its difference to the length two before, and each as groups of five bits, the lowest first, in
characters from "0" on, of which the sixth bit says that another group follows.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

Ring = npt.NDArray[np.int32]
"""int32 (n, 2): x, y of the corners of an outline, which closes; corners of pixels."""
_GROUPS = np.arange(7)
"""Of five bits: enough for images of up to 2**34 pixels."""


def outlines(instance: npt.NDArray[np.integer[Any]]) -> dict[int, list[list[Ring]]]:
    """Of every value above 0 in (H, W): its parts, those that do not share a side of a pixel, the largest first; of
    each the ring around it, and those around its holes.

    >>> cell = numpy.array([[0, 0, 0], [0, 5, 5]], numpy.uint16)
    >>> [[ring.tolist() for ring in part] for part in outlines(cell)[5]]
    [[[[1, 1], [1, 2], [3, 2], [3, 1]]]]
    """
    found = {}
    for value, box in enumerate(ndimage.find_objects(instance), start=1):
        if box is not None:
            label, count = ndimage.label(instance[box] == value)
            parts = sorted((label == number for number in range(1, count + 1)), key=lambda part: -int(part.sum()))
            found[value] = [list(_rings(part, (box[1].start, box[0].start))) for part in parts]
    return found


def _rings(part: npt.NDArray[np.bool_], corner: tuple[int, int]) -> Iterator[Ring]:
    # OpenCV's contours run through centres of pixels. Of pixels cut in four each runs beside the side that is meant.
    fine = np.repeat(np.repeat(part.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, above = cv2.findContours(fine, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for number in np.argsort(above[0, :, 3] >= 0, kind="stable"):
        ring = (contours[number][:, 0] + 1) // 2
        yield (ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)] + corner).astype(np.int32)


def encode_instances(instance: npt.NDArray[np.integer[Any]]) -> dict[int, str]:
    """The compressed `counts` of every value above 0 in (H, W), by ascending value."""
    flat = instance.T.ravel()
    bounds = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, stops = np.append(0, bounds), np.append(bounds, flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")[np.count_nonzero(values == 0) :]
    found, first = np.unique(values[order], return_index=True)
    if not found.size:
        return {}
    runs = np.stack([starts[order], stops[order]], axis=1)
    lengths = [np.diff(np.concatenate([[0], part.ravel(), [flat.size]])) for part in np.split(runs, first[1:])]
    lengths = [of_mask if of_mask[-1] else of_mask[:-1] for of_mask in lengths]
    return dict(zip(found.tolist(), _compressed(lengths), strict=True))


def _compressed(masks: list[npt.NDArray[np.int64]]) -> list[str]:
    """The text of the run lengths of each mask, all characters computed together."""
    place = np.concatenate([np.arange(lengths.size) for lengths in masks])
    values = np.concatenate(masks)
    late = np.flatnonzero(place > 2)
    values[late] -= values[late - 2]
    bound = 16 * 32**_GROUPS
    size = 1 + np.count_nonzero((values[:, None] >= bound) | (values[:, None] < -bound), axis=1)[:, None]
    groups = (values[:, None] >> 5 * _GROUPS) & 31
    characters = ord("0") + groups + 32 * (size - 1 > _GROUPS)
    text = characters[size > _GROUPS].astype(np.uint8).tobytes().decode("ascii")
    ends = np.cumsum(np.add.reduceat(size.ravel(), np.flatnonzero(place == 0))).tolist()
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
