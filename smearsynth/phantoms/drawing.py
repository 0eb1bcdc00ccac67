"""A drawn cell: what it absorbs, and where it ends."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smearsynth.phantoms.dice import Floats
from smearsynth.phantoms.geometry import Plane
from smearsynth.taxonomy import BY_KEY, UM_PER_PX


@dataclass(frozen=True)
class Drawing:
    """One cell on its own square plane.

    density: f8 (n, n, 3) optical density RGB. outline, nucleus: f8 (n, n) signed distance, um, infinite
    where a cell has no nucleus.
    """

    plane: Plane
    density: Floats
    outline: Floats
    nucleus: Floats

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Pixels whose centre lies in the cell, (n, n)."""
        return self.outline < 0

    @property
    def radius_px(self) -> float:
        """Distance of the cell's farthest pixel from its centre, px."""
        far = np.hypot(self.plane.x, self.plane.y)[self.inside]
        return float(far.max()) / self.plane.um_per_px


def coat(density: Floats, dye: Floats, cover: Floats) -> Floats:
    """The density with a dye (f8 (3,) or (n, n, 3)) in place of what was there, where `cover` (n, n) is 1."""
    return density + (dye - density) * cover[..., None]


def typical_area(class_key: str) -> float:
    """Mean area of the class, um2, from the taxonomy."""
    return BY_KEY[class_key].area * UM_PER_PX**2
