"""The natural look: cells absorb the light that the glass lets through, and a microscope with its camera sees them.

All stain is summed in optical density, so overlapping red cells darken as they do under a microscope, and the soft edge
of the mask is a thin edge of stain without a seam. Optics and camera come after that, so they move no label.
"""

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.render.density import density
from smearsynth.render.distractors import burn_in, lay_distractors
from smearsynth.render.ground import develop, profile
from smearsynth.render.layers import lay_cells
from smearsynth.render.optics import REACH, focus
from smearsynth.render.sensor import deviations, expose, noise_tile, tone_curve
from smearsynth.render.stain.matched import matched
from smearsynth.render.stain.smear import smear_curves
from smearsynth.scene.scene import Light, Scene


def paint(scene: Scene, light: Light, bank: Bank) -> npt.NDArray[np.uint8]:
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
