"""What an infected red cell has beyond its body: where its parasites lie, and what light they absorb.

Optical densities add (Beer-Lambert), so a parasite is what a cell absorbs on top of its own smooth body. The body is
estimated by a wide median filter, which a ring of two micrometres does not survive; a parasite is where green, which
chromatin and its cytoplasm absorb most, exceeds the body clearly. Rings and small trophozoites are found; a parasite
that fills its cell is body by this rule, and nothing is found.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.bank.glass import Mask, optical_density
from smearsynth.bank.outlines import grow

_BODY_WINDOW = 21
"""Side of the median filter, px: 4 um, four times the thickness of a ring."""
_BODY_AT_MOST = 1.15
"""Of the cell's median density: a large parasite lifts the filtered density under itself."""
_LEAST_EXCESS = 0.12
"""Green density beyond the body from which on a pixel is parasite: twice that of cytoplasm's noise in the NIH cells."""
_LEAST_DEVIATIONS = 3
_RIM = 2
"""Pixels inside the contour that are not looked at: there the body is not flat."""
_MOST_AREA = 700
"""Pixels of a parasite with its surroundings of two pixels; what is larger is another cell, or fills its own."""
LEAST_PEAK = 0.2
"""Green density that a parasite must reach to be laid into other cells: a faint one teaches that nothing is one."""
_DEEPEST = -0.15
"""Least density of what is laid: the vacuole of a ring is paler than the body around it."""

CellDensity = npt.NDArray[np.float64]
"""Optical density of a cell or of what is drawn into it, natural log: (h, w, 3), or (3,) of one colour. In double
precision, since the last bit of many a function is the processor's own: so none of it comes to be seen in a pixel."""
ParasiteMap = npt.NDArray[np.uint8]
"""(h, w): 0 no parasite, 1 parasite, 255 unknown."""
NO, YES, UNKNOWN = 0, 1, 255


@dataclass(frozen=True, eq=False)
class Parasite:
    """density: (h, w, 3), what it absorbs on top of a body; fades out to 0 at its edge. mask: bool (h, w), where it
    lies."""

    density: CellDensity
    mask: Mask


@dataclass(frozen=True, eq=False)
class ReadCell:
    """mask: bool (h, w), all parasites. whole: nothing was too large for a parasite. parasites: those that are plain
    enough to be laid elsewhere."""

    mask: Mask
    whole: bool
    parasites: tuple[Parasite, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing lies in the cell."""
        return self.whole and not self.mask.any()


def density_of(bank: Bank, row: int) -> CellDensity:
    """(h, w, 3): optical density of a cell against its own glass."""
    red, green, blue = (int(v) for v in np.maximum(bank.glass[row], 1))
    image = np.ascontiguousarray(bank.rgba(row)[..., :3])
    return optical_density(image, (red, green, blue)).astype(np.float64)


def colour_of(density: CellDensity, glass: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 (h, w, 3) RGB: the inverse of `density_of`."""
    return np.clip(np.rint(np.maximum(glass, 1) * np.exp(-density)), 0, 255).astype(np.uint8)


def read_parasites(density: CellDensity, cell: Mask) -> ReadCell:
    """The parasites of one red cell. density: (h, w, 3). cell: bool (h, w), the pixels inside its contour."""
    body = _body(density, cell)
    excess = density - body
    green = excess[..., 1]
    inner = green[cell]
    deviation = 1.48 * float(np.median(np.abs(inner - np.median(inner))))
    sure = (green > max(_LEAST_EXCESS, _LEAST_DEVIATIONS * deviation)) & grow(cell, -_RIM)
    # Chromatin and cytoplasm of one parasite lie close together.
    number, parts, boxes, _ = cv2.connectedComponentsWithStats(cv2.dilate(sure.astype(np.uint8), np.ones((5, 5))))
    near, mask, whole, parasites = grow(sure, 1), np.zeros_like(cell), True, []
    for part in range(1, number):
        x, y, w, h, area = boxes[part].tolist()
        if area > _MOST_AREA:
            whole = False
            continue
        window = np.s_[max(y - 2, 0) : y + h + 2, max(x - 2, 0) : x + w + 2]
        own = parts[window] == part
        mask[window] |= own & near[window]
        soft = cv2.GaussianBlur(own.astype(np.float64), (0, 0), 0.8)
        laid = np.maximum(excess[window], _DEEPEST) * soft[..., None]
        if float(laid[..., 1].max()) > LEAST_PEAK:
            parasites.append(Parasite(laid, own & near[window]))
    return ReadCell(mask=mask, whole=whole, parasites=tuple(parasites))


def healed_density(density: CellDensity, cell: Mask, parasites: Mask) -> CellDensity:
    """The density of a cell, (h, w, 3), with its parasites, bool (h, w), filled by its body."""
    fill = cv2.GaussianBlur(grow(parasites, 1).astype(np.float64), (0, 0), 1.0)[..., None]
    return density * (1 - fill) + _body(density, cell) * fill


def _body(density: CellDensity, cell: Mask) -> CellDensity:
    """The smooth density of a cell without what lies in it."""
    steps = np.clip(np.rint(density * 100), 0, 255).astype(np.uint8)
    smooth = np.dstack([cv2.medianBlur(np.ascontiguousarray(c), _BODY_WINDOW) for c in np.moveaxis(steps, 2, 0)])
    body: CellDensity = np.minimum(smooth / 100, _BODY_AT_MOST * np.median(density[cell], axis=0))
    return body
