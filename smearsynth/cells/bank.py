"""The bank: all accepted cells of a recipe at 40x, split into train, val and test, in flat arrays.

Flat pools instead of a list of objects: compiled loops index them directly, a fork shares them without copying, and
their digest is a hash over a few arrays.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Bank:
    """n cells, P pixels in all. Cell i is `pixels[offset[i] : offset[i] + height[i] * width[i]]` in C order.

    pixels: u1 (P, 4), RGB and soft mask. RGB is the cell's own colour, extended outwards past its edge, so that no
    glass, black rim or outline is mixed into it: the softness of the edge is in the mask alone. The outermost two
    rows and columns of every cell have mask 0. class_id: u1 (n,) 1-9. split: u1 (n,), index into SPLITS.
    source: u1 (n,), index into `sources`. area: i4 (n,), pixels with mask >= 128. glass: u1 (n, 3), empty glass of
    its image; glass_measured: u1 (n,), 0 where it is the source's recorded constant. scale: f4 (n,), output px per
    source px. groups, paths, sha256: n strings each; a group is "source/group". parts: n strings, the cells that an
    assembled clump is made of ("" for a cell of its own).
    """

    pixels: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]
    height: npt.NDArray[np.int32]
    width: npt.NDArray[np.int32]
    class_id: npt.NDArray[np.uint8]
    split: npt.NDArray[np.uint8]
    source: npt.NDArray[np.uint8]
    area: npt.NDArray[np.int32]
    glass: npt.NDArray[np.uint8]
    glass_measured: npt.NDArray[np.uint8]
    scale: npt.NDArray[np.float32]
    groups: tuple[str, ...]
    paths: tuple[str, ...]
    sha256: tuple[str, ...]
    parts: tuple[str, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.class_id)

    def rgba(self, i: int) -> npt.NDArray[np.uint8]:
        """Cell i as u1 (h, w, 4)."""
        h, w, start = int(self.height[i]), int(self.width[i]), int(self.offset[i])
        return self.pixels[start : start + h * w].reshape(h, w, 4)
