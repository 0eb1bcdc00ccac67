"""Where the cells of a smear lie: darts thrown until one lands within the rules.

Cells are placed from the top down: white cells and platelets first, then red cells, each under all that lie already.
So what is visible of a cell is known when it lands, and no later cell can hide it. Positions fall evenly over the
field and, with `border`, over the strip around it from which a cell still reaches in, so that the borders are as
densely covered as the middle.
"""

from typing import NamedTuple

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.scene import footprints, stock
from smearsynth.scene.footprints import ANGLE, CELL, CX, CY, FLIP, SCALE
from smearsynth.scene.table import clear, fits, lay
from smearsynth.scene.turns import QUARTER, TURN
from smearsynth.streams import below, between
from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC

_DARTS = 32
"""Positions tried for one cell."""
_MISSES = 4
"""Red cells in a row that found no room, after which the field counts as full."""
_CELLS = 8
"""Cells tried where one of the kind must lie: for a foreground's place and for the first red cell of a kind."""
_ATTEMPTS = 64
"""Times the whole foreground is tried; after a quarter of them, cells need not be half visible."""
_HALF = ONE // 2
"""Share of a cell that must be visible where one of its kind must lie."""


class Rules(NamedTuple):
    """Shares and scales in 1/65536. reach: half the side, px, of the largest footprint that can be drawn."""

    height: int
    width: int
    overlap: int
    border: bool
    rotate: bool
    flip: bool
    scale_low: int
    scale_high: int
    min_visible: int
    max_objects: int
    reach: int


class Reds(NamedTuple):
    """The red cells wanted. density: share of the field outside the foreground, infected: share of the red cells,
    phase: where rounding to whole cells starts, all in 1/65536. both: at least one of each kind."""

    density: int
    infected: int
    phase: int
    both: bool


@compiled()
def place(state, table, pool, cells, rules, foreground, reds):  # type: ignore[no-untyped-def]
    """Fills the empty table from the stock `cells`; returns the number of cells that lie.

    foreground: i8, class ids. -1 is returned where they find no room together.
    """
    if not _place_foreground(state, table, pool, cells, rules, foreground):
        return -1
    n = foreground.size
    kinds = 2 if reds.both else 1
    wanted = np.count_nonzero(table.cover == 0) * reds.density // ONE
    covered, infected, misses = 0, 0, 0
    while covered < wanted and n < rules.max_objects:
        k = n - foreground.size
        is_infected = (infected + 1) * ONE <= reds.infected * (k + 1) + reds.phase
        if reds.both and k < kinds:
            is_infected = k == 0
        class_id, share = INFECTED_RBC if is_infected else HEALTHY_RBC, _HALF if k < kinds else 0
        gained = _place_cell(state, table, n, pool, cells, rules, class_id, share)
        if gained > 0:
            n, covered, infected, misses = n + 1, covered + gained, infected + is_infected, 0
        else:
            misses += 1
            if misses == (_CELLS if k < kinds else _MISSES):
                break
    return n


@compiled()
def _place_foreground(state, table, pool, cells, rules, foreground):  # type: ignore[no-untyped-def]
    for attempt in range(_ATTEMPTS):
        clear(table)
        share = _HALF if 4 * attempt < _ATTEMPTS else rules.min_visible
        left, misses = foreground.size, 0
        while left > 0 and misses < _CELLS:
            n = foreground.size - left
            landed = _place_cell(state, table, n, pool, cells, rules, foreground[n], share) > 0
            left, misses = left - landed, 0 if landed else misses + 1
        if left == 0:
            return True
    return False


@compiled()
def _place_cell(state, table, n, pool, cells, rules, class_id, share):  # type: ignore[no-untyped-def]
    """Draws a cell of the class and throws it as number n; returns as `_throw`."""
    _draw_cell(state, table, n, pool, cells, rules, class_id)
    return _throw(state, table, n, rules, share)


@compiled()
def _draw_cell(state, table, n, pool, cells, rules, class_id):  # type: ignore[no-untyped-def]
    """Draws cell n, how it is turned, mirrored and scaled, and its shift within a pixel."""
    cell = stock.draw(state, cells, class_id)
    angle = below(state, TURN) if rules.rotate else 0
    flip = below(state, 2) if rules.flip else 0
    scale = between(state, rules.scale_low, rules.scale_high)
    if angle % QUARTER == 0 and scale == ONE:
        # On whole pixels nothing is resampled: the centre of an array of even size lies between two pixels.
        lies = (angle // QUARTER) % 2 == 1
        cx = ((pool.height[cell] if lies else pool.width[cell]) - 1) * 128 % 256
        cy = ((pool.width[cell] if lies else pool.height[cell]) - 1) * 128 % 256
    else:
        cx, cy = below(state, 256), below(state, 256)
    pose = table.poses[n]
    pose[0], pose[CELL], pose[CX], pose[CY] = class_id, cell, cx, cy
    pose[ANGLE], pose[FLIP], pose[SCALE] = angle, flip, scale
    _, _, w, h, start = footprints.bounds(table.prints, max(n - 1, 0))
    footprints.draw(table.prints, n, start + w * h if n > 0 else 0, pool, pose, table.tile)


@compiled()
def _throw(state, table, n, rules, share):  # type: ignore[no-untyped-def]
    """Throws cell n until it lies by the rules with `share` of its area visible; returns the pixels it newly covers,
    0 where it found no room."""
    prints, pose = table.prints, table.poses[n]
    box = prints.box[n]
    x, y, w, h, _ = footprints.bounds(prints, n)
    left, right = (1 - w, rules.width - 1) if rules.border else (0, rules.width - w)
    top, bottom = (1 - h, rules.height - 1) if rules.border else (0, rules.height - h)
    if right < left or bottom < top:
        return 0
    for _ in range(_DARTS):
        box[0], box[1] = between(state, left, right), between(state, top, bottom)
        if not fits(table, n, rules.overlap, rules.reach):
            continue
        gained = footprints.uncovered(prints, n, table.cover)
        if gained > 0 and gained * ONE >= share * prints.full[n]:
            pose[CX] += (box[0] - x) * 256
            pose[CY] += (box[1] - y) * 256
            lay(table, n)
            return gained
    return 0
