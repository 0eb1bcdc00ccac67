"""Colour in CIE Lab, of cells and of glass: pixel by pixel, and how even it is within a field."""

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.fidelity.tally import Floats, Quantity, Weighted, plain
from smearsynth.fidelity.view import View
from smearsynth.fields.images import Mask

DIRECTIONS = 16
CELLS, GLASS = (Quantity(key=f"colour_{where}", low=-160, high=230, slices=DIRECTIONS) for where in ("cells", "glass"))
CELLS_LAB, GLASS_LAB = (Quantity(key=f"lab_{where}", low=-110, high=110, slices=3) for where in ("cells", "glass"))
RED_CELLS = Quantity(key="red_cell_to_red_cell", low=0, high=60)
UNEVEN = Quantity(key="glass_unevenness", low=0, high=40)

_MOST_PIXELS = 4096
"""Pixels of either kind that are taken from one view, evenly spread."""
_LEAST_RED_CELLS = 3
_BLOCK = 16
"""Side, px, of the blocks whose glass is compared; each needs glass on a quarter of it."""


def directions() -> Floats:
    """f8 (16, 3): unit vectors spread evenly over half of all directions (a Fibonacci lattice)."""
    step = np.arange(DIRECTIONS)
    height = (step + 0.5) / DIRECTIONS
    turn = np.pi * (3 - np.sqrt(5)) * step
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)


_DIRECTIONS = directions()


def measure_colour(view: View) -> dict[Quantity, Weighted]:
    """Lab values (of L*, a*, b*) and their projections on 16 directions, for the sliced earth mover's distance
    (Rabin et al. 2011); red cells' mean colours around the mean of their field; the glass's evenness over a field."""
    measured: dict[Quantity, Weighted] = {}
    for quantity, axes, mask in ((CELLS, CELLS_LAB, view.inner), (GLASS, GLASS_LAB, view.glass)):
        lab = _some(view.lab[mask])
        if len(lab):
            weights = np.full(len(lab), mask.sum() / len(lab))
            measured |= {quantity: Weighted(_DIRECTIONS @ lab.T, weights), axes: Weighted(lab.T, weights)}
    return measured | _red_cells(view) | _unevenness(view)


def _some(values: Floats) -> Floats:
    return values[:: max(1, -(-len(values) // _MOST_PIXELS))]


def _red_cells(view: View) -> dict[Quantity, Weighted]:
    rows = np.flatnonzero(view.red)
    if rows.size < _LEAST_RED_CELLS:
        return {}
    label = view.regions.label[view.inner]
    count = len(view.red) + 1
    pixels = np.bincount(label, minlength=count)[1 + rows]
    lab = [np.bincount(label, c, minlength=count)[1 + rows] / np.maximum(pixels, 1) for c in view.lab[view.inner].T]
    colours = np.stack(lab, axis=1)[pixels > 0]
    return {RED_CELLS: plain(np.atleast_1d(np.sqrt(np.square(colours - colours.mean(axis=0)).sum(axis=1).mean())))}


def _unevenness(view: View) -> dict[Quantity, Weighted]:
    share, light = _blocks(view.glass.astype(np.float32)), _blocks(np.where(view.glass, view.lightness, 0))
    enough: Mask = share > 0.25
    if enough.sum() < _LEAST_RED_CELLS:
        return {}
    return {UNEVEN: plain(np.atleast_1d(np.std(light[enough] / share[enough])))}


def _blocks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Means of the whole blocks of 16x16 px."""
    h, w = (side // _BLOCK for side in values.shape)
    return cv2.resize(values[: h * _BLOCK, : w * _BLOCK], (w, h), interpolation=cv2.INTER_AREA)
