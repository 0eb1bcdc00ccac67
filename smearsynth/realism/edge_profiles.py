"""How sharply cells end: lightness along the normals of their outlines, averaged over each cell.

A normal is first sampled around the mask's outline and then anew around the point where lightness is half-way, so a
mask that is a pixel off, or frayed, does not blur the profile.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.realism.distances import Quantity, Weighted, plain
from smearsynth.realism.views import View

Floats = npt.NDArray[np.float32]

REACH = 6.0
STEP = 0.25
OFFSETS = np.arange(-REACH, REACH + STEP, STEP, dtype=np.float32)
"""Positions along a normal, px, from glass (< 0) into the cell."""
WIDTH = Quantity(key="edge_width", low=0, high=2 * REACH)
HALO = Quantity(key="edge_halo", low=0, high=100)
PROFILE = Quantity(key="edge_profile", low=-100, high=200, slices=len(OFFSETS))

_STRAY = 2.0
"""Pixels between a mask's outline and the half-way point, at most."""
_FAR = 4.0
"""From here outwards lightness is that of the glass."""
_MOST_POINTS = 8192
_LEAST_POINTS = 24
_LEAST_HEIGHT = 4.0
"""Difference of L* between glass and rim that stands out from noise."""


class _Points(NamedTuple):
    """Points on outlines, (n,) each, region by region: position, inward unit normal, the region's number from 0."""

    x: Floats
    y: Floats
    dx: Floats
    dy: Floats
    region: npt.NDArray[np.int64]

    def where(self, chosen: npt.NDArray[np.bool_]) -> "_Points":
        return _Points(self.x[chosen], self.y[chosen], self.dx[chosen], self.dy[chosen], self.region[chosen])

    def moved(self, by: Floats) -> "_Points":
        return self._replace(x=self.x + by * self.dx, y=self.y + by * self.dy)


def measure_edges(view: View) -> dict[Quantity, Weighted]:
    """For each region with 24 points of free outline: width, px, in which lightness goes from 10 to 90 % of the way
    from glass to rim; how much brighter than glass it gets outside, % of that way; and the profile itself, %."""
    points = _free(view, _outline(view))
    if points.x.size == 0:
        return {}
    values = _sampled(view.lightness, points)
    found, profile = _by_region(points, values)
    glass, rim = _levels(profile)
    middle = np.full(len(view.regions.area), np.nan, np.float32)
    middle[found] = np.where(glass - rim > _LEAST_HEIGHT, (glass + rim) / 2, np.nan)
    shift = _crossing(values, middle[points.region])
    known = np.abs(shift) <= _STRAY
    points = points.where(known).moved(shift[known])
    found, profile = _by_region(points, _sampled(view.lightness, points))
    if found.size == 0:
        return {}
    glass, rim = _levels(profile)
    share = (glass[:, None] - profile) / (glass - rim)[:, None]
    width = _width(share)
    halo = np.maximum(-share[:, OFFSETS < 0].min(axis=1), 0)
    kept = np.isfinite(width)
    if not kept.any():
        return {}
    weights = np.ones(int(kept.sum()))
    return {WIDTH: plain(width[kept]), HALO: plain(100 * halo[kept]), PROFILE: Weighted(100 * share[kept].T, weights)}


def _outline(view: View) -> _Points:
    """Points where the mask's depth is 0, at most 8192 of them evenly spread."""
    y, x = np.nonzero(view.cells & (view.depth < 1))
    step = max(1, -(-x.size // _MOST_POINTS))
    y, x = y[::step], x[::step]
    order = np.argsort(view.regions.label[y, x], kind="stable")
    y, x = y[order], x[order]
    smooth = cv2.GaussianBlur(view.depth, (0, 0), 1.5)
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *order, ksize=3)[y, x] for order in ((1, 0), (0, 1)))
    length = np.maximum(np.hypot(dx, dy), 1e-6)
    on_pixels = _Points(x.astype(np.float32), y.astype(np.float32), dx / length, dy / length, _region(view, y, x))
    return on_pixels.moved(-view.depth[y, x])


def _region(view: View, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return view.regions.label[y, x].astype(np.int64) - 1


def _free(view: View, points: _Points) -> _Points:
    """Those whose normal runs through glass alone outside and through their own region alone inside."""
    x, y = _along(points)
    h, w = view.cells.shape
    margin = _STRAY + 1
    fits = ((x > margin) & (x < w - 1 - margin) & (y > margin) & (y < h - 1 - margin)).all(axis=1)
    points, x, y = points.where(fits), np.rint(x[fits]).astype(int), np.rint(y[fits]).astype(int)
    region = _region(view, y, x)
    outside, inside = OFFSETS < -1.5, OFFSETS > 1.5
    free = (region[:, outside] == -1).all(axis=1) & (region[:, inside] == points.region[:, None]).all(axis=1)
    return points.where(free)


def _along(points: _Points) -> tuple[Floats, Floats]:
    """float32 (n, offsets): x and y of the samples on each normal."""
    return (
        points.x[:, None] + OFFSETS * points.dx[:, None],
        points.y[:, None] + OFFSETS * points.dy[:, None],
    )


def _sampled(lightness: Floats, points: _Points) -> Floats:
    """float32 (n, offsets)."""
    if points.x.size == 0:
        return np.zeros((0, OFFSETS.size), np.float32)
    return cv2.remap(lightness, *_along(points), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _by_region(points: _Points, values: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Regions with enough points, int64 (m,), and the mean profile of each, float32 (m, offsets)."""
    found, first, count = np.unique(points.region, return_index=True, return_counts=True)
    if found.size == 0:
        return found, values
    total = np.add.reduceat(values, first, axis=0, dtype=np.float64)
    enough = count >= _LEAST_POINTS
    return found[enough], (total[enough] / count[enough, None]).astype(np.float32)


def _levels(profile: Floats) -> tuple[Floats, Floats]:
    """Lightness of the glass, and of the rim: a red cell is darkest there, and paler in its middle."""
    return profile[:, OFFSETS <= -_FAR].mean(axis=1), profile[:, OFFSETS >= 0].min(axis=1)


def _crossing(values: Floats, middle: Floats) -> Floats:
    """float32 (n,): offset nearest to 0 at which lightness falls through `middle` inwards; inf where it never does."""
    before, after, goal = values[:, :-1], values[:, 1:], middle[:, None]
    falls = (before > goal) & (after <= goal)
    with np.errstate(divide="ignore", invalid="ignore"):
        offset = OFFSETS[:-1] + STEP * (before - goal) / (before - after)
    offset = np.where(falls, offset, np.inf)
    nearest = np.abs(offset).argmin(axis=1)
    return offset[np.arange(len(offset)), nearest].astype(np.float32)


def _width(share: Floats) -> Floats:
    """float32 (m,): px from the last 10 % outside to the first 90 % inside, nan where the profile has none."""
    centre = int(np.argmin(np.abs(OFFSETS)))
    outwards = _first(-share[:, centre::-1], -0.1)
    inwards = _first(share[:, centre:], 0.9)
    return (outwards + inwards).astype(np.float32)


def _first(rising: Floats, goal: float) -> Floats:
    """px from the first column to where each row first reaches `goal`, between columns; nan where it never does."""
    reached = rising >= goal
    at = reached.argmax(axis=1)
    rows = np.arange(len(rising))
    above, below = rising[rows, at], rising[rows, np.maximum(at - 1, 0)]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(at > 0, (goal - below) / (above - below), 0)
    return np.where(reached.any(axis=1), STEP * (at - 1 + part) * (at > 0), np.nan).astype(np.float32)
