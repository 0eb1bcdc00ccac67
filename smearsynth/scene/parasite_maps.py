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
from smearsynth.scene.scene import CLASS
from smearsynth.scene.warp import INSIDE, cell_pixels, empty_samples, extent, inverse, line, pose_of, sample
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
    height, width = parasite.shape
    for i in range(objects.shape[0]):
        pose, red = pose_of(objects[i]), objects[i, CLASS] >= INFECTED_RBC
        box, inverted = extent(cells, pose), inverse(pose)
        samples = empty_samples(box[3], box[2] * box[3])
        sample(cells, pose, box, samples)
        plane, columns = planes[cells.offset[pose.cell] :], np.int64(cells.width[pose.cell])
        n = 0
        for row in range(box[3]):
            y = box[1] + row
            u, v, first, last = line(cells, pose, inverted, box[0], y, box[2])
            for k in range(first, last):
                x, alpha, n = box[0] + k, samples.pixels[n] >> np.uint32(24), n + 1
                if alpha < INSIDE or not (0 <= x < width and 0 <= y < height):
                    continue
                right = (u + k * (inverted[0] << 8) + _HALF) >> 24
                down = (v + k * (inverted[2] << 8) + _HALF) >> 24
                value = plane[down * columns + right]
                if value == NO and red and parasite[y, x] != NO:
                    value = np.uint8(UNKNOWN)
                parasite[y, x] = value
