"""Cells at 40x laid end to end as a bank."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.cells.cell import Cell
from smearsynth.taxonomy import UM_PER_PX


def build_bank(
    rgba: Sequence[npt.NDArray[np.uint8]],
    cells: Sequence[Cell],
    *,
    split: npt.NDArray[np.uint8],
    groups: Sequence[str],
    sources: tuple[str, ...],
) -> Bank:
    """rgba: u1 (h, w, 4) per cell. split: u1 (n,). groups: "source/group" of each, after duplicates were merged."""
    shapes = np.array([image.shape[:2] for image in rgba], np.int32).reshape(-1, 2)
    ends = np.cumsum(shapes.prod(axis=1, dtype=np.int64))
    return Bank(
        pixels=np.concatenate([image.reshape(-1, 4) for image in rgba]),
        offset=np.concatenate([[0], ends[:-1]]).astype(np.int64),
        height=shapes[:, 0].copy(),
        width=shapes[:, 1].copy(),
        class_id=np.array([c.class_id for c in cells], np.uint8),
        split=split,
        source=np.array([sources.index(c.source) for c in cells], np.uint8),
        area=np.array([(image[..., 3] >= 128).sum() for image in rgba], np.int32),
        glass=np.array([c.glass for c in cells], np.uint8).reshape(-1, 3),
        glass_measured=np.array([c.glass_measured for c in cells], np.uint8),
        scale=np.array([(c.um_per_px or 0) / UM_PER_PX for c in cells], np.float32),
        groups=tuple(groups),
        paths=tuple(c.path for c in cells),
        sha256=tuple(c.sha256 for c in cells),
        parts=("",) * len(cells),
        sources=sources,
    )
