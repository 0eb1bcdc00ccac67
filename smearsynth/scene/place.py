"""Where the cells of a smear lie: darts thrown until one lands within the rules.

Cells are placed from the top down: white cells and platelets first, then red cells, each under all that lie already.
So what is visible of a cell is known when it lands, and no later cell can hide it. Positions fall evenly over the
field and, with `border`, over the strip around it from which a cell still reaches in, so that the borders are as
densely covered as the middle.
"""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from smearsynth.fixed_point import ONE
from smearsynth.scene import footprints
from smearsynth.scene.footprints import ANGLE, BUCKET, CELL, CX, CY, FLIP, SCALE, Footprints
from smearsynth.scene.stock import draw
from smearsynth.scene.turns import QUARTER, TURN
from smearsynth.streams import below, between
from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC, PLATELET_CLUMP, THROMBOCYTE

GAP = 2
"""Least distance, px, of a single thrombocyte from another and from a clump."""
_DARTS = 32
"""Positions tried for one cell."""
_MISSES = 4
"""Red cells in a row that found no room, after which the field counts as full."""
_CELLS = 32
"""Foreground cells tried for one place."""
_ATTEMPTS = 8
"""Times the whole foreground is tried; in the second half of them, cells need not be half visible."""


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


class Table(NamedTuple):
    """What lies already, topmost first. poses: i8 (rows, 7). cover: u1 (H, W), 1 where a cell is. newest, older: the
    last cell filed under a bucket and the one filed before a cell, or -1."""

    poses: npt.NDArray[np.int64]
    prints: Footprints
    cover: npt.NDArray[np.uint8]
    newest: npt.NDArray[np.int64]
    older: npt.NDArray[np.int64]
    tile: npt.NDArray[np.uint32]


def table(rules: Rules, mask_pixels: int, tile_pixels: int) -> Table:
    """An empty table with room for `max_objects` footprints, `mask_pixels` in all, and a candidate."""
    rows = rules.max_objects + 1
    return Table(
        np.empty((rows, 7), np.int64),
        footprints.empty(rows, mask_pixels + tile_pixels),
        np.zeros((rules.height, rules.width), np.uint8),
        np.full((rules.height // BUCKET + 1, rules.width // BUCKET + 1), -1, np.int64),
        np.empty(rows, np.int64),
        np.empty(tile_pixels, np.uint32),
    )


@numba.njit(cache=True)
def place(state, table, pool, stock, rules, foreground, reds):  # type: ignore[no-untyped-def]
    """Fills the empty table; returns the number of cells, or -1 where the foreground, i8 class ids, finds no room."""
    if not _place_foreground(state, table, pool, stock, rules, foreground):
        return -1
    n = foreground.size
    kinds = 2 if reds.both else 1
    free = np.count_nonzero(table.cover == 0)
    covered, infected, misses = 0, 0, 0
    while covered < free * reds.density // ONE and n < rules.max_objects:
        k = n - foreground.size
        if misses == (_CELLS if k < kinds else _MISSES):
            break
        is_infected = (infected + 1) * ONE <= reds.infected * (k + 1) + reds.phase
        if reds.both and k < kinds:
            is_infected = k == 0
        _draw_cell(state, table, n, pool, stock, rules, INFECTED_RBC if is_infected else HEALTHY_RBC)
        gained = _land(state, table, n, rules, ONE // 2 if k < kinds else 0)
        if gained > 0:
            n, covered, infected, misses = n + 1, covered + gained, infected + is_infected, 0
        else:
            misses += 1
    return n


@numba.njit(cache=True)
def _place_foreground(state, table, pool, stock, rules, foreground):  # type: ignore[no-untyped-def]
    for attempt in range(_ATTEMPTS):
        table.cover[:] = 0
        table.newest[:] = -1
        share = ONE // 2 if 2 * attempt < _ATTEMPTS else rules.min_visible
        if _place_all(state, table, pool, stock, rules, foreground, share):
            return True
    return False


@numba.njit(cache=True)
def _place_all(state, table, pool, stock, rules, foreground, share):  # type: ignore[no-untyped-def]
    for n in range(foreground.size):
        if not _place_cell(state, table, n, pool, stock, rules, foreground[n], share):
            return False
    return True


@numba.njit(cache=True)
def _place_cell(state, table, n, pool, stock, rules, class_id, share):  # type: ignore[no-untyped-def]
    for _ in range(_CELLS):
        _draw_cell(state, table, n, pool, stock, rules, class_id)
        if _land(state, table, n, rules, share) > 0:
            return True
    return False


@numba.njit(cache=True)
def _draw_cell(state, table, n, pool, stock, rules, class_id):  # type: ignore[no-untyped-def]
    """Draws cell n, how it is turned, mirrored and scaled, and its shift within a pixel."""
    cell = draw(state, stock, class_id)
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


@numba.njit(cache=True)
def _land(state, table, n, rules, share):  # type: ignore[no-untyped-def]
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
        if not _fits(table, n, rules):
            continue
        gained = footprints.uncovered(prints, n, table.cover)
        if gained > 0 and gained * ONE >= share * prints.full[n]:
            pose[CX] += (box[0] - x) * 256
            pose[CY] += (box[1] - y) * 256
            footprints.put(prints, n, table.cover)
            row, column = _bucket(table, box[0] + w // 2, box[1] + h // 2)
            table.older[n] = table.newest[row, column]
            table.newest[row, column] = n
            return gained
    return 0


@numba.njit(cache=True)
def _bucket(table, x, y):  # type: ignore[no-untyped-def]
    """Row and column of the bucket of a point; points outside the field belong to the nearest one."""
    rows, columns = table.newest.shape
    return min(max(y // BUCKET, 0), rows - 1), min(max(x // BUCKET, 0), columns - 1)


@numba.njit(cache=True)
def _fits(table, n, rules):  # type: ignore[no-untyped-def]
    """Whether footprint n keeps the rules with all that lie already."""
    x, y, w, h, _ = footprints.bounds(table.prints, n)
    far = rules.reach + GAP
    first_row, first_column = _bucket(table, x - far, y - far)
    last_row, last_column = _bucket(table, x + w + far, y + h + far)
    for row in range(first_row, last_row + 1):
        for column in range(first_column, last_column + 1):
            other = table.newest[row, column]
            while other >= 0:
                if not _agree(table, n, other, rules):
                    return False
                other = table.older[other]
    return True


@numba.njit(cache=True)
def _agree(table, i, j, rules):  # type: ignore[no-untyped-def]
    prints = table.prints
    if footprints.shared(prints, i, j, 0, 0) * ONE > rules.overlap * min(prints.full[i], prints.full[j]):
        return False
    a, b = table.poses[i, 0], table.poses[j, 0]
    platelets = min(a, b) == THROMBOCYTE and max(a, b) <= PLATELET_CLUMP
    return not platelets or footprints.apart(prints, i, j, GAP)
