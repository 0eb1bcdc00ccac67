"""The parasite mask of a scene: derived, like its label, from the objects and the bank.

A pixel takes the value that its cell has in the bank at the nearest sample of the same warp that labels come from. Red
cells are translucent: where the parasite of a lower one lies under an upper one, the picture may show it and the pixel
belongs to the other, so it is 255 there, unknown. White cells and platelets are taken to hide what is below them.
"""

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.bank.parasites import NO, UNKNOWN
from smearsynth.base.compiled import compiled
from smearsynth.scene.footprints import is_inside
from smearsynth.scene.scene import CLASS
from smearsynth.scene.warp import cell_pixels, extent, inverse, line, pose_of
from smearsynth.taxonomy import INFECTED_RBC

_HALF = 1 << 23
"""Half a pixel of the bank, in the units of `warp.line`."""


def derive_parasites(objects: npt.NDArray[np.int32], bank: Bank, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """uint8 (H, W): 0 none, 1 parasite, 255 unknown.

    objects: int32 (n, 14), in ascending z, as a scene has them. size: height, width, px. Of a bank that knows where
    parasites lie.
    """
    parasite = np.zeros(size, np.uint8)
    _paint(objects, cell_pixels(bank), bank.parasite, parasite)
    return parasite


@compiled()
def _paint(objects, cells, planes, parasite):  # type: ignore[no-untyped-def]
    """Most pixels of most cells have no parasite and lie over none: there nothing changes, inside the cell or not."""
    height, width = parasite.shape
    for i in range(objects.shape[0]):
        pose, red = pose_of(objects[i]), objects[i, CLASS] >= INFECTED_RBC
        (left, top, wide, tall), inverted = extent(cells, pose), inverse(pose)
        step_u, step_v = inverted[0] << 8, inverted[2] << 8
        base, columns = cells.offset[pose.cell], np.int64(cells.width[pose.cell])
        for y in range(max(top, 0), min(top + tall, height)):
            u, v, first, last = line(cells, pose, inverted, left, y, wide)
            for k in range(max(first, -left), min(last, width - left)):
                x, across, down = left + k, u + k * step_u, v + k * step_v
                value = planes[base + ((down + _HALF) >> 24) * columns + ((across + _HALF) >> 24)]
                if value == NO and parasite[y, x] == NO:
                    continue
                p = np.uint64(base + (down >> 24) * columns + (across >> 24))
                if is_inside(cells.alpha, p, np.uint64(columns), (across >> 16) & 255, (down >> 16) & 255):
                    parasite[y, x] = np.uint8(UNKNOWN) if value == NO and red else value
