"""COCO's run-length encoding of all instances of a map at once: a mask per cell would make large fields slow.

A mask is read column by column; its runs have the lengths c0, c1, ... of pixels out, in, out and so on. From the fourth
on a length is stored as its difference to the length two before, and each as groups of five bits, the lowest first,
in characters from "0" on, of which the sixth bit says that another group follows (`maskApi.c` of the COCO API).
"""

import numpy as np
import numpy.typing as npt

_GROUPS = np.arange(7)
"""Of five bits: enough for images of up to 2**34 pixels."""


def encode_instances(instance: npt.NDArray[np.uint16]) -> dict[int, str]:
    """The compressed `counts` of every value above 0 in u2 (H, W), by ascending value."""
    flat = instance.T.ravel()
    bounds = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts, stops = np.append(0, bounds), np.append(bounds, flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")[np.count_nonzero(values == 0) :]
    found, first = np.unique(values[order], return_index=True)
    runs = np.stack([starts[order], stops[order]], axis=1)
    lengths = [_lengths(part, flat.size) for part in np.split(runs, first[1:])] if found.size else []
    return dict(zip(found.tolist(), _compressed(lengths), strict=True))


def _lengths(runs: npt.NDArray[np.int64], pixels: int) -> npt.NDArray[np.int64]:
    """Lengths of the runs out of and in a mask that begins and ends as `runs`, i8 (n, 2), say."""
    lengths = np.diff(np.concatenate([[0], runs.ravel(), [pixels]]))
    return lengths if lengths[-1] else lengths[:-1]


def _compressed(masks: list[npt.NDArray[np.int64]]) -> list[str]:
    """The text of each mask, all characters computed together."""
    if not masks:
        return []
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
