"""Where the cells of a smear are placed: positions are tried until one is within the rules.

Cells are placed from the top down: white cells and platelets first, then red cells, each under all that are there. So
what is visible of a cell is known when it is placed, and no later cell can hide it. Positions are drawn evenly over the
field and, with `border`, over the strip around it from which a cell still reaches in, so that the borders are as
densely covered as the middle.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.base.streams import below, between
from smearsynth.scene.cell_sampler import draw_cell
from smearsynth.scene.footprints import HEIGHT, LEFT, TOP, WIDTH, count_uncovered, draw, end
from smearsynth.scene.masks import count_free, is_free
from smearsynth.scene.placed_cells import OverlapLimits, add, fits, move_beside, place_touching, remove_all
from smearsynth.scene.scene import ANGLE, CELL, CLASS, CX, CY, FLIP, SCALE
from smearsynth.scene.warp import QUARTER, TURN, pose_of
from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC, PLATELET_CLUMP, THROMBOCYTE

OVERLAPPING, TOUCHING, FREE = range(3)
"""Manners of placing a red cell: over another one, against another cell, or wherever it touches none, unless by
chance."""
_POSITIONS = 32
"""Positions tried for one cell in one manner."""
_MISSES = 4
"""Red cells in a row for which no position was found, after which the field counts as full."""
_CELLS = 8
"""Cells tried where one of the kind must be there: of a foreground, and the first red cell of a kind."""
_ATTEMPTS = 64
"""Times the whole foreground is tried; after a quarter of them, cells need not be half visible and may overlap."""
_HALF = ONE // 2
"""Share of a cell that must be visible where one of its kind must be there."""


class Rules(NamedTuple):
    """What holds for all smears of a recipe: height, width of the field, px; shares and scales in 1/65536.

    overlap: most that two red cells may share, platelet_overlap: that a red cell and a platelet may,
    white_cell_overlap: that any others may. gap: px between cells that touch. scale: of a cell, platelet_scale: of a
    platelet or clump. min_visible: share of a cell. max_objects: cells of a smear.
    """

    height: int
    width: int
    overlap: int
    platelet_overlap: int
    white_cell_overlap: int
    gap_low: int
    gap_high: int
    border: bool
    rotate: bool
    flip: bool
    scale_low: int
    scale_high: int
    platelet_scale_low: int
    platelet_scale_high: int
    min_visible: int
    max_objects: int


class Contents(NamedTuple):
    """What one smear is to hold; shares in 1/65536.

    foreground: int64 (n,), class ids of its white cells and platelets. white_source: the source of all its white cells,
    or ANY_SOURCE. density: share of the field outside the foreground that red cells cover. infected: share of the red
    cells; phase: where rounding to whole cells starts. overlapping, touching: shares of the red cells that are placed
    so. both: at least one of each kind of red cells.
    """

    foreground: npt.NDArray[np.int64]
    white_source: int
    density: int
    infected: int
    phase: int
    overlapping: int
    touching: int
    both: bool


@compiled()
def place(state, placed, sampler, rules, contents):  # type: ignore[no-untyped-def]
    """Places the cells of a smear; returns how many there are, or -1 where no way is found to place its foreground."""
    if not _place_foreground(state, placed, sampler, rules, contents):
        return -1
    first = contents.foreground.size
    n = first
    kinds = 2 if contents.both else 1
    wanted = count_free(placed.free) * contents.density // ONE
    covered, infected, misses = 0, 0, 0
    while covered < wanted and n < rules.max_objects:
        k = n - first
        is_infected = (infected + 1) * ONE <= contents.infected * (k + 1) + contents.phase
        if contents.both and k < kinds:
            is_infected = k == 0
        _draw_pose(state, placed, n, sampler, rules, contents, INFECTED_RBC if is_infected else HEALTHY_RBC)
        manner, visible = (FREE, _HALF) if k < kinds else (_draw_manner(state, contents), 0)
        gained = _place_red_cell(state, placed, n, rules, manner, visible)
        if gained > 0:
            n, covered, infected, misses = n + 1, covered + gained, infected + is_infected, 0
        else:
            misses += 1
            if misses == (_CELLS if k < kinds else _MISSES):
                break
    return n


@compiled()
def _place_foreground(state, placed, sampler, rules, contents):  # type: ignore[no-untyped-def]
    foreground = contents.foreground
    for attempt in range(_ATTEMPTS):
        remove_all(placed)
        strict = 4 * attempt < _ATTEMPTS
        visible = _HALF if strict else rules.min_visible
        limit = rules.white_cell_overlap if strict else max(rules.white_cell_overlap, rules.overlap)
        n, misses = np.int64(0), 0  # all below would be compiled for a literal 0 too
        while n < foreground.size and misses < _CELLS:
            _draw_pose(state, placed, n, sampler, rules, contents, foreground[n])
            if _find_position(state, placed, n, rules, np.int64(FREE), limit, visible) > 0:
                n, misses = n + 1, 0
            else:
                misses += 1
        if n == foreground.size:
            return True
    return False


@compiled()
def _draw_pose(state, placed, n, sampler, rules, contents, class_id):  # type: ignore[no-untyped-def]
    """Draws cell n, how it is turned, mirrored and scaled, and its shift within a pixel; and then its footprint."""
    cell = draw_cell(state, sampler, class_id, contents.white_source)
    angle = below(state, TURN) if rules.rotate else 0
    flip = below(state, 2) if rules.flip else 0
    if class_id in (THROMBOCYTE, PLATELET_CLUMP):
        scale = between(state, rules.platelet_scale_low, rules.platelet_scale_high)
    else:
        scale = between(state, rules.scale_low, rules.scale_high)
    if angle % QUARTER == 0 and scale == ONE:
        # On whole pixels nothing is resampled: the centre of an array of even size lies between two pixels.
        width, height = placed.cells.width[cell], placed.cells.height[cell]
        if (angle // QUARTER) % 2 == 1:
            width, height = height, width
        cx, cy = (width - 1) * 128 % 256, (height - 1) * 128 % 256
    else:
        cx, cy = below(state, 256), below(state, 256)
    pose = placed.poses[n]
    pose[CLASS], pose[CELL], pose[CX], pose[CY] = class_id, cell, cx, cy
    pose[ANGLE], pose[FLIP], pose[SCALE] = angle, flip, scale
    draw(placed.prints, n, end(placed.prints, n - 1) if n > 0 else 0, placed.cells, pose_of(pose))


@compiled()
def _draw_manner(state, contents):  # type: ignore[no-untyped-def]
    drawn = below(state, ONE)
    if drawn < contents.overlapping:
        return OVERLAPPING
    return TOUCHING if drawn < contents.overlapping + contents.touching else FREE


@compiled()
def _place_red_cell(state, placed, n, rules, manner, visible):  # type: ignore[no-untyped-def]
    """Places red cell n in the manner or, where it finds no position, more closely; returns as `_find_position`."""
    while manner >= OVERLAPPING:
        gained = _find_position(state, placed, n, rules, manner, rules.white_cell_overlap, visible)
        if gained > 0:
            return gained
        manner -= 1
    return 0


@compiled()
def _find_position(state, placed, n, rules, manner, with_others, visible):  # type: ignore[no-untyped-def]
    """Tries positions of cell n until it can be placed with the share `visible` of its area in sight; returns the
    pixels that it newly covers, 0 where no position was found. with_others: as `OverlapLimits.others`."""
    prints, pose = placed.prints, placed.poses[n]
    box = prints.box[n]
    x, y, w, h = box[LEFT], box[TOP], box[WIDTH], box[HEIGHT]
    left, right = (1 - w, rules.width - 1) if rules.border else (0, rules.width - w)
    top, bottom = (1 - h, rules.height - 1) if rules.border else (0, rules.height - h)
    if right < left or bottom < top or (manner != FREE and n == 0):
        return 0
    among_red_cells = rules.overlap if manner == OVERLAPPING else 0
    others = with_others if manner == FREE else min(among_red_cells, with_others)
    limits = OverlapLimits(among_red_cells, max(rules.platelet_overlap, others), others)
    for _ in range(_POSITIONS):
        other, direction = 0, 0
        if manner == FREE:
            box[LEFT], box[TOP] = between(state, left, right), between(state, top, bottom)
        else:
            other, direction = below(state, n), below(state, TURN)
            move_beside(placed, n, other, direction)
            _wrap_around(box, left, right, top, bottom)
        # Where platelets may lie over a red cell, its middle need not be free.
        if rules.platelet_overlap == 0 and not _looks_free(placed, n, manner):
            continue
        if manner != FREE:
            gap = 0 if manner == OVERLAPPING else between(state, rules.gap_low, rules.gap_high)
            closer = OverlapLimits(below(state, among_red_cells + 1), limits.others, limits.others)
            place_touching(placed, n, other, direction, gap, closer)
            _wrap_around(box, left, right, top, bottom)
        if not fits(placed, n, limits):
            continue
        gained = count_uncovered(placed.free, prints, n)
        if gained > 0 and gained * ONE >= visible * prints.full[n]:
            pose[CX] += (box[LEFT] - x) * 256
            pose[CY] += (box[TOP] - y) * 256
            add(placed, n)
            return gained
    box[LEFT], box[TOP] = x, y
    return 0


@compiled()
def _wrap_around(box, left, right, top, bottom):  # type: ignore[no-untyped-def]
    """A cell that is moved out of the field comes in at the opposite border, as if it touched a cell out of sight:
    borders would be sparse if cells were placed against those in sight alone."""
    box[LEFT] = left + (box[LEFT] - left) % (right - left + 1)
    box[TOP] = top + (box[TOP] - top) % (bottom - top + 1)


@compiled()
def _looks_free(placed, n, manner):  # type: ignore[no-untyped-def]
    """Whether no cell covers the middle of cell n nor, unless it is to overlap, four pixels around: a cheap test by
    which most positions that cannot do are ruled out."""
    box, free = placed.prints.box[n], placed.free
    x, y = box[LEFT] + box[WIDTH] // 2, box[TOP] + box[HEIGHT] // 2
    if manner == OVERLAPPING:
        return is_free(free, x, y)
    dx, dy = box[WIDTH] // 4, box[HEIGHT] // 4
    return (
        is_free(free, x, y)
        and is_free(free, x - dx, y)
        and is_free(free, x + dx, y)
        and is_free(free, x, y - dy)
        and is_free(free, x, y + dy)
    )
