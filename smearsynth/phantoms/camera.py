"""From optical density to the picture a microscope's camera would have taken."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.phantoms.dice import Dice, Floats

Picture = npt.NDArray[np.uint8]


def photograph(dice: Dice, density: Floats, glass: Floats, *, blur_px: float, noise: float) -> Picture:
    """u1 (h, w, 3) RGB: light is absorbed (Beer-Lambert), blurred by the optics, unevenly lit, and noisy.

    density: f8 (h, w, 3). glass: f8 (3,), RGB 0-255. blur_px: Gaussian sigma, px. noise: sigma, grey levels.
    """
    light = ndimage.gaussian_filter(np.exp(-density), (blur_px, blur_px, 0))
    height, width = light.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope_x, slope_y = 0.012 * dice.normals(2)
    lit = light * glass * (1 + slope_x * x + slope_y * y - 0.01 * (x**2 + y**2))[..., None]
    return np.rint(np.clip(lit + noise * dice.normals(height, width, 3), 0, 255)).astype(np.uint8)
