"""Colours a scene. No randomness of its own: all that is drawn is in the scene's lights. Never touches a label.

`natural`: cells absorb the light that the glass lets through, and a microscope with its camera sees them. All stain is
summed in optical density, so overlapping red cells darken as they do under a microscope, and the soft edge of the mask
is a thin edge of stain without a seam. Optics and camera come after that, so they move no label.

`reference`: the look of the reference system, white ground, cells pasted with hard edges.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base.compiled import compiled
from smearsynth.rendering.camera import deviations, expose, noise_tile, tone_curve
from smearsynth.rendering.layers import draw_scale_bars, lay_cells, lay_distractors
from smearsynth.rendering.optical_density import density
from smearsynth.rendering.optics import REACH, develop, focus, profile
from smearsynth.rendering.stain_matching import matched_cells, smear_curves
from smearsynth.scene.scene import CELL, SCALE, Light, Scene
from smearsynth.scene.warp import cell_pixels, pose_of, tile_sizes, warp

Image = npt.NDArray[np.uint8]


def render(scene: Scene, look_number: int, bank: Bank) -> Image:
    """The smear in the look with this number in the recipe: uint8 (H, W, 3), RGB. bank: the one it was planned on."""
    light = scene.lights[look_number]
    return PAINTERS[light.base](scene, light, bank)


def paint_natural(scene: Scene, light: Light, bank: Bank) -> Image:
    """uint8 (H, W, 3)."""
    values = light.values
    height, width = scene.label.shape
    glass = np.array(values["glass"])

    white_share, red_share = values["own_shares"]
    cells, red_centre = matched_cells(bank, white_share, red_share)
    body = np.array([density(c) for c in values["red_cell_colour"]])
    curves = smear_curves(red_centre, body, np.array(values["stain"]))
    densities = np.zeros((height, width), np.uint64)
    lay_cells(cells, curves, scene.objects, np.array(values["cell_density"], np.int64), densities)
    lay_distractors(scene.distractors, noise_tile(), densities)

    (loss,), (stop_radius, stop_width, stop_depth) = values["illumination"], values["field_stop"]
    axis_x, axis_y = values["light_centre"]
    picture = np.empty((3, height + 2 * REACH, width + 2 * REACH), np.uint16)
    develop(densities, glass, profile(loss, stop_radius, stop_width, stop_depth), axis_x, axis_y, picture)
    focus(picture, values["point_spread"], values["colour_shift"])

    (key, at_white, read_share), (gamma,) = values["noise"], values["gamma"]
    image = np.empty((height, width, 3), np.uint8)
    expose(picture, noise_tile(), key, deviations(at_white, read_share), tone_curve(gamma), image)
    draw_scale_bars(scene.distractors, glass, image)
    return image


def paint_reference(scene: Scene, light: Light, bank: Bank) -> Image:  # noqa: ARG001
    """uint8 (H, W, 3): the cells' own colours where the instance map has them, 255 elsewhere."""
    cells, objects = cell_pixels(bank), scene.objects
    image = np.full((*scene.instance.shape, 3), 255, np.uint8)
    largest = int(tile_sizes(cells, objects[:, CELL], objects[:, SCALE]).max(initial=0))
    _paste(cells, objects, scene.instance, np.empty(largest, np.uint32), image)
    return image


PAINTERS: dict[str, Callable[[Scene, Light, Bank], Image]] = {
    "reference": paint_reference,
    "natural": paint_natural,
}
"""By the base of a look."""


@compiled()
def _paste(cells, objects, instance, tile, image):  # type: ignore[no-untyped-def]
    height, width = instance.shape
    for i in range(objects.shape[0]):
        x0, y0, w, h = warp(cells, pose_of(objects[i]), tile)
        for y in range(max(y0, 0), min(y0 + h, height)):
            for x in range(max(x0, 0), min(x0 + w, width)):
                if instance[y, x] == i + 1:
                    pixel = tile[(y - y0) * w + x - x0]
                    for c in range(3):
                        image[y, x, c] = (pixel >> (8 * c)) & 255
