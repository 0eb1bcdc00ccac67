"""How large cells are and how densely they lie."""

import numpy as np

from smearsynth.fidelity.tally import Quantity, Weighted, plain
from smearsynth.fidelity.view import View
from smearsynth.taxonomy import UM_PER_PX

DIAMETER = Quantity(key="cell_diameter", low=0, high=30)
COVERED = Quantity(key="covered", low=0, high=100)
DENSITY = Quantity(key="cell_density", low=0, high=50)
CLUSTERED = Quantity(key="clustered", low=0, high=100)

_LEAST_REGIONS = 3
_LEAST_UM = 1.0
"""Diameter under which a region is dust."""


def measure_population(view: View) -> dict[Quantity, Weighted]:
    """Diameters of single cells in um; of each view the share of the field under cells, single cells per 1000 um2, and
    the share of the area of whole regions that clusters hold.

    A region counts by one over the chance that it lies wholly inside the view, so views of different size agree
    (Miles and Lantuejoul).
    """
    regions = view.regions
    h, w = view.cells.shape
    left, top, width, height = regions.box.T
    inside = (left > 0) & (top > 0) & (left + width < w) & (top + height < h) & (view.diameter >= _LEAST_UM)
    weight = w * h / np.maximum((w - width) * (h - height), 1)
    single = regions.single & inside
    um2 = view.cells.size * UM_PER_PX**2
    measured = {
        COVERED: plain(np.array([100 * view.cells.mean()])),
        DENSITY: plain(np.array([1000 * weight[single].sum() / um2])),
    }
    if single.any():
        measured[DIAMETER] = Weighted(view.diameter[None, single], weight[single])
    if inside.sum() >= _LEAST_REGIONS:
        area = weight * regions.area
        measured[CLUSTERED] = plain(np.array([100 * (1 - area[single].sum() / area[inside].sum())]))
    return measured
