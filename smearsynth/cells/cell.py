"""A cut-out cell at its source's scale, as masking makes it and the quality gate judges it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell at native scale, cropped to its mask with a margin.

    image: u1 (h, w, 3) RGB as in the file, repaired where the source painted on it. mask: u1 (h, w), soft; 128 lies
    half-way between glass and rim. group: unique within the source. index: running number within (path), named
    cells first. glass: RGB 0-255 of the empty glass of its image; glass_measured: False where it is the source's
    recorded constant. reject: reason of refusal, "" for a good cell.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    class_id: int
    source: str
    group: str
    path: str
    sha256: str
    index: int
    um_per_px: float | None
    glass: tuple[int, int, int]
    glass_measured: bool
    reject: str = ""
