"""The natural look: cells absorb the light that the glass lets through.

All is summed in optical density, so overlapping red cells darken as they do under a microscope, and the soft edge of
the mask is a thin edge of stain without a seam. White cells and platelets are thick: where their own stain is dense,
they hide what lies below them.
"""

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.render.density import DARKEST, TRANSMITTANCE, density
from smearsynth.render.ground import brightness, fall_off
from smearsynth.render.stain.matched import matched
from smearsynth.render.stain.smear import smear_curves
from smearsynth.scene.footprints import ANGLE, CELL, CX, CY, FLIP, SCALE
from smearsynth.scene.scene import Light, Scene
from smearsynth.scene.warp import largest_tile, warp
from smearsynth.taxonomy import INFECTED_RBC

_OPAQUE = 400
"""Density in green from which on a white cell or platelet hides what lies below it."""


def paint(scene: Scene, light: Light, bank: Bank) -> npt.NDArray[np.uint8]:
    """u1 (H, W, 3)."""
    values = light.values
    pool, red_centre = matched(bank, *values["own_shares"])
    stained = np.zeros((*scene.label.shape, 3), np.int32)
    target = np.array([density(c) for c in values["red_cell_colour"]])
    curves = smear_curves(red_centre, target, np.array(values["stain"]))
    tile = np.empty(largest_tile(pool, scene.objects), np.uint32)
    _stain(pool, curves, scene.objects, tile, stained)
    image = np.empty(stained.shape, np.uint8)
    _develop(stained, np.array(values["glass"]), *values["light_centre"], *values["illumination"], image)
    return image


@compiled()
def _stain(pool, curves, objects, tile, stained):  # type: ignore[no-untyped-def]
    """Adds the density of every cell, lowest first, to `stained`, i4 (H, W, 3)."""
    height, width, _ = stained.shape
    for i in range(objects.shape[0]):
        o = objects[i].astype(np.int64)
        cell = o[CELL]
        red = o[0] >= INFECTED_RBC
        curve = curves[1] if red else curves[0]
        x0, y0, w, h = warp(pool, cell, o[CX], o[CY], o[ANGLE], o[FLIP], o[SCALE], tile)
        for y in range(max(y0, 0), min(y0 + h, height)):
            for x in range(max(x0, 0), min(x0 + w, width)):
                pixel = tile[(y - y0) * w + x - x0]
                alpha = np.int64(pixel >> 24)
                if alpha == 0:
                    continue
                share = alpha + (alpha >> 7)
                green = curve[1, (pixel >> 8) & 255]
                kept = 65536 if red else 65536 - share * min(green * 256 // _OPAQUE, 256)
                for c in range(3):
                    own = curve[c, (pixel >> (8 * c)) & 255] * share
                    stained[y, x, c] = (stained[y, x, c] * kept + (own << 8) + 32768) >> 16


@compiled()
def _develop(stained, glass, light_x, light_y, loss, image):  # type: ignore[no-untyped-def]
    """The picture of the stain on the glass; glass in 1/256 grey level, the rest as in `fall_off`."""
    height, width, _ = stained.shape
    centre_x, centre_y, slope = fall_off(height, width, light_x, light_y, loss)
    for y in range(height):
        for x in range(width):
            share = brightness(x, y, centre_x, centre_y, slope)
            for c in range(3):
                left = np.int64(TRANSMITTANCE[min(stained[y, x, c], DARKEST)])
                image[y, x, c] = ((glass[c] * share // ONE) * left + (1 << 23)) >> 24
