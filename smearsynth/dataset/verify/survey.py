"""A label and instance map counted in one pass."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.compiled import compiled


class Survey(NamedTuple):
    """pixels: i8 (256,), of each label. seen: i8 (n, 5), x, y, width, height of the pixels of each instance and their
    number. strange: pixels whose label is not the class of their instance, or whose instance is none; x, y: the first.
    """

    pixels: npt.NDArray[np.int64]
    seen: npt.NDArray[np.int64]
    strange: int
    x: int
    y: int


def survey(label: npt.NDArray[np.uint8], instance: npt.NDArray[np.uint16], classes: npt.NDArray[np.int64]) -> Survey:
    """Of maps u1 and u2 (H, W) of n objects of `classes`, i8 (n,)."""
    pixels, seen = np.zeros(256, np.int64), np.zeros((len(classes), 5), np.int64)
    strange, first = _count(label, instance, classes, pixels, seen)
    y, x = divmod(first, label.shape[1])
    return Survey(pixels, seen, strange, x, y)


@compiled()
def _count(label, instance, classes, pixels, seen):  # type: ignore[no-untyped-def]
    height, width = label.shape
    n = classes.size
    strange, first = 0, 0
    for y in range(height):
        for x in range(width):
            number, here = np.int64(instance[y, x]), label[y, x]
            pixels[here] += 1
            if number > n or here != (classes[number - 1] if number > 0 else 0):
                if strange == 0:
                    first = y * width + x
                strange += 1
            if 0 < number <= n:
                box = seen[number - 1]
                if box[4] == 0:
                    box[0], box[1], box[2], box[3] = x, y, x, y
                box[0], box[2], box[3] = min(box[0], x), max(box[2], x), y
                box[4] += 1
    for i in range(n):
        if seen[i, 4] > 0:
            seen[i, 2] += 1 - seen[i, 0]
            seen[i, 3] += 1 - seen[i, 1]
    return strange, first
