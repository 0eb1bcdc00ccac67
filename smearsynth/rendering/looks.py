"""The natural look: cells absorb the light that the glass lets through, and a microscope with its camera sees them.

All stain is summed in optical density, so overlapping red cells darken as they do under a microscope, and the soft edge
of the mask is a thin edge of stain without a seam. Optics and camera come after that, so they move no label.

The look of the reference system: white ground, cells pasted with hard edges.

Colours a scene. No randomness of its own: all that is drawn stands in the scene's lights. Never touches a label.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.rendering.camera import deviations, expose, noise_tile, tone_curve
from smearsynth.rendering.layers import burn_in, lay_cells, lay_distractors
from smearsynth.rendering.optical_density import density
from smearsynth.rendering.optics import REACH, develop, focus, profile
from smearsynth.rendering.stain_matching import matched, smear_curves
from smearsynth.scene.masks import ANGLE, CELL, CX, CY, FLIP, SCALE
from smearsynth.scene.scene import Light, Scene
from smearsynth.scene.warp import largest_tile, pool_of, warp


def paint_natural(scene: Scene, light: Light, bank: Bank) -> npt.NDArray[np.uint8]:
    """u1 (H, W, 3)."""
    values = light.values
    height, width = scene.label.shape
    pool, red_centre = matched(bank, *values["own_shares"])
    target = np.array([density(c) for c in values["red_cell_colour"]])
    curves = smear_curves(red_centre, target, np.array(values["stain"]))
    densities = np.zeros((height, width), np.uint64)
    lay_cells(pool, curves, scene.objects, np.array(values["cell_density"], np.int64), densities)
    lay_distractors(scene.distractors, noise_tile(), densities)
    picture = np.empty((3, height + 2 * REACH, width + 2 * REACH), np.uint16)
    light_profile = profile(*values["illumination"], *values["field_stop"])
    glass = np.array(values["glass"])
    develop(densities, glass, light_profile, *values["light_centre"], picture)
    focus(picture, values["point_spread"], values["colour_shift"])
    image = np.empty((height, width, 3), np.uint8)
    key, *noise = values["noise"]
    expose(picture, noise_tile(), key, deviations(*noise), tone_curve(*values["gamma"]), image)
    burn_in(scene.distractors, glass, image)
    return image


def paint_reference(scene: Scene, light: Light, bank: Bank) -> npt.NDArray[np.uint8]:  # noqa: ARG001
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


PAINTERS: dict[str, Callable[[Scene, Light, Bank], npt.NDArray[np.uint8]]] = {
    "reference": paint_reference,
    "natural": paint_natural,
}
"""By the base of a look."""


def render(scene: Scene, look_number: int, bank: Bank) -> npt.NDArray[np.uint8]:
    """The smear in the look with this number in the recipe: u1 (H, W, 3), RGB. `bank` is the one it was planned on."""
    light = scene.lights[look_number]
    return PAINTERS[light.base](scene, light, bank)
