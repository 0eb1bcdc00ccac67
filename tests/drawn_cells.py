"""Cells drawn in optical density with edges at known places: what masking finds is compared with what was drawn."""

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.bank.quality_gate import CellMeasures

GLASS = (236, 231, 222)
VIOLET = (0.7, 1.1, 0.5)
"""Densities of red, green and blue: a nucleus, much greener than 1.6 times blue."""
CYTOPLASM = (0.12, 0.30, 0.14)
RED_CELL = (0.10, 0.40, 0.25)
"""Haemoglobin: green is 1.6 times blue."""

Layer = tuple[npt.NDArray[np.float64], tuple[float, float, float]]
"""Share of each pixel that a shape covers, 0-1, and its densities."""
_FINE = 8

GOOD_MEASURES = CellMeasures(
    area=4879,
    solidity=0.99,
    cores=1,
    painted=0.0,
    edge_width=1.0,
    glass_shows=True,
    rim=0.3,
    contact=0.0,
    straight=0.0,
)
"""Of a neutrophil that passes the quality gate."""


def ellipse(shape: tuple[int, int], y: float, x: float, a: float, b: float, angle: float = 0.0) -> np.ndarray:
    """Share of each pixel inside an ellipse of semi-axes a (along x before turning) and b, f8 (h, w)."""
    h, w = shape
    rows, columns = (np.mgrid[: h * _FINE, : w * _FINE] + 0.5) / _FINE
    u = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    v = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    return ((u / a) ** 2 + (v / b) ** 2 <= 1).reshape(h, _FINE, w, _FINE).mean((1, 3))


def disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    return ellipse(shape, y, x, radius, radius)


def photograph(layers: list[Layer], *, sigma: float = 1.0, noise: float = 1.5, seed: int = 0) -> np.ndarray:
    """u1 (h, w, 3): the densities of all layers added, blurred, on coloured glass, with camera noise."""
    density = np.sum([np.multiply.outer(cover, of) for cover, of in layers], axis=0)
    light = np.array(GLASS) * np.exp(-cv2.GaussianBlur(density, (0, 0), sigma))
    noisy = light + np.random.default_rng(seed).normal(0, noise, light.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def radius_of(area: float) -> float:
    return float(np.sqrt(area / np.pi))
