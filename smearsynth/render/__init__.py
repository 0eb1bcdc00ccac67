"""Colours a scene. No randomness of its own: all that is drawn stands in the scene's lights. Never touches a label."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from smearsynth.cells.bank import Bank
from smearsynth.render import natural, reference
from smearsynth.scene.scene import Light, Scene

PAINTERS: dict[str, Callable[[Scene, Light, Bank], npt.NDArray[np.uint8]]] = {
    "reference": reference.paint,
    "natural": natural.paint,
}
"""By the base of a look."""


def render(scene: Scene, look_number: int, bank: Bank) -> npt.NDArray[np.uint8]:
    """The smear in the look with this number in the recipe: u1 (H, W, 3), RGB. `bank` is the one it was planned on."""
    light = scene.lights[look_number]
    return PAINTERS[light.base](scene, light, bank)
