"""The look of the reference system: white ground, cells pasted with hard edges."""

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.compiled import compiled
from smearsynth.scene.footprints import ANGLE, CELL, CX, CY, FLIP, SCALE
from smearsynth.scene.scene import Light, Scene
from smearsynth.scene.warp import largest_tile, pool_of, warp


def paint(scene: Scene, light: Light, bank: Bank) -> npt.NDArray[np.uint8]:  # noqa: ARG001
    """u1 (H, W, 3): the cells' own colours where the instance map has them, 255 elsewhere."""
    pool = pool_of(bank)
    image = np.full((*scene.instance.shape, 3), 255, np.uint8)
    _paste(pool, scene.objects, scene.instance, np.empty(largest_tile(pool, scene.objects), np.uint32), image)
    return image


@compiled()
def _paste(pool, objects, instance, tile, image):  # type: ignore[no-untyped-def]
    height, width = instance.shape
    for i in range(objects.shape[0]):
        o = objects[i].astype(np.int64)
        x0, y0, w, h = warp(pool, o[CELL], o[CX], o[CY], o[ANGLE], o[FLIP], o[SCALE], tile)
        for y in range(max(y0, 0), min(y0 + h, height)):
            for x in range(max(x0, 0), min(x0 + w, width)):
                if instance[y, x] == i + 1:
                    pixel = tile[(y - y0) * w + x - x0]
                    for c in range(3):
                        image[y, x, c] = (pixel >> (8 * c)) & 255
