"""Where the cells of a smear lie: tried until one position is within the rules.

Cells are placed from the top down: white cells and platelets first, then red cells, each under all that lie already.
So what is visible of a cell is known when it lands, and no later cell can hide it. Positions fall evenly over the
field and, with `border`, over the strip around it from which a cell still reaches in, so that the borders are as
densely covered as the middle.
"""

from typing import NamedTuple

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.base.streams import below, between
from smearsynth.scene import cell_sampler, masks
from smearsynth.scene.masks import ANGLE, CELL, CX, CY, FLIP, HEIGHT, SCALE, WIDTH, X, Y
from smearsynth.scene.placed_cells import beside, clear, fits, lay, nestle
from smearsynth.scene.warp import QUARTER, TURN
from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC

OVERLAPPING, TOUCHING, FREE = range(3)
"""How a red cell lies: over another one, against another cell, or wherever it touches none, unless by chance."""
_DARTS = 32
"""Positions tried for one cell in one manner."""
_MISSES = 4
"""Red cells in a row that found no room, after which the field counts as full."""
_CELLS = 8
"""Cells tried where one of the kind must lie: for a foreground's place and for the first red cell of a kind."""
_ATTEMPTS = 64
"""Times the whole foreground is tried; after a quarter of them, cells need not be half visible and may overlap."""
_HALF = ONE // 2
"""Share of a cell that must be visible where one of its kind must lie."""


class Rules(NamedTuple):
    """Shares and scales in 1/65536. overlap: most that two red cells may share, white_cell_overlap: that any others
    may. gap: px between cells laid against each other. reach: half the side, px, of the largest footprint."""

    height: int
    width: int
    overlap: int
    white_cell_overlap: int
    gap_low: int
    gap_high: int
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
    phase: where rounding to whole cells starts, overlapping, touching: shares of the red cells that are laid so, all
    in 1/65536. both: at least one of each kind."""

    density: int
    infected: int
    phase: int
    overlapping: int
    touching: int
    both: bool


@compiled()
def place(state, table, pool, cells, source, rules, foreground, reds):  # type: ignore[no-untyped-def]
    """Fills the table from the stock `cells`; returns the number of cells that lie.

    source: the white cells', as in `stock.draw`. foreground: i8, class ids. -1 is returned where they find no room
    together.
    """
    if not _place_foreground(state, table, pool, cells, source, rules, foreground):
        return -1
    n = foreground.size
    kinds = 2 if reds.both else 1
    wanted = masks.free(table.ground) * reds.density // ONE
    covered, infected, misses = 0, 0, 0
    while covered < wanted and n < rules.max_objects:
        k = n - foreground.size
        is_infected = (infected + 1) * ONE <= reds.infected * (k + 1) + reds.phase
        if reds.both and k < kinds:
            is_infected = k == 0
        class_id, share = INFECTED_RBC if is_infected else HEALTHY_RBC, _HALF if k < kinds else 0
        _draw_cell(state, table, n, pool, cells, source, rules, class_id)
        gained = _lay_red(state, table, n, rules, FREE if k < kinds else _manner(state, reds), share)
        if gained > 0:
            n, covered, infected, misses = n + 1, covered + gained, infected + is_infected, 0
        else:
            misses += 1
            if misses == (_CELLS if k < kinds else _MISSES):
                break
    return n


@compiled()
def _place_foreground(state, table, pool, cells, source, rules, foreground):  # type: ignore[no-untyped-def]
    for attempt in range(_ATTEMPTS):
        clear(table)
        at_ease = 4 * attempt < _ATTEMPTS
        share = _HALF if at_ease else rules.min_visible
        limit = rules.white_cell_overlap if at_ease else max(rules.white_cell_overlap, rules.overlap)
        left, misses = foreground.size, 0
        while left > 0 and misses < _CELLS:
            n = foreground.size - left
            _draw_cell(state, table, n, pool, cells, source, rules, foreground[n])
            landed = _throw(state, table, n, rules, FREE, limit, share) > 0
            left, misses = left - landed, 0 if landed else misses + 1
        if left == 0:
            return True
    return False


@compiled()
def _draw_cell(state, table, n, pool, cells, source, rules, class_id):  # type: ignore[no-untyped-def]
    """Draws cell n, how it is turned, mirrored and scaled, and its shift within a pixel."""
    cell = cell_sampler.draw(state, cells, class_id, source)
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
    masks.draw(table.prints, n, masks.end(table.prints, n - 1) if n > 0 else 0, pool, pose)


@compiled()
def _manner(state, reds):  # type: ignore[no-untyped-def]
    drawn = below(state, ONE)
    if drawn < reds.overlapping:
        return OVERLAPPING
    return TOUCHING if drawn < reds.overlapping + reds.touching else FREE


@compiled()
def _lay_red(state, table, n, rules, manner, share):  # type: ignore[no-untyped-def]
    """Lays red cell n in the manner or, where there is no room, more closely; returns as `_throw`."""
    while manner >= OVERLAPPING:
        gained = _throw(state, table, n, rules, manner, rules.white_cell_overlap, share)
        if gained > 0:
            return gained
        manner -= 1
    return 0


@compiled()
def _throw(state, table, n, rules, manner, with_others, share):  # type: ignore[no-untyped-def]
    """Tries positions of cell n until it lies by the rules with `share` of its area visible; returns the pixels it
    newly covers, 0 where it found no room."""
    prints, pose = table.prints, table.poses[n]
    box = prints.box[n]
    x, y, w, h = box[X], box[Y], box[WIDTH], box[HEIGHT]
    left, right = (1 - w, rules.width - 1) if rules.border else (0, rules.width - w)
    top, bottom = (1 - h, rules.height - 1) if rules.border else (0, rules.height - h)
    if right < left or bottom < top or (manner != FREE and n == 0):
        return 0
    limit = rules.overlap if manner == OVERLAPPING else 0
    among_reds, others = limit, with_others if manner == FREE else min(limit, with_others)
    for _ in range(_DARTS):
        other, direction = 0, 0
        if manner == FREE:
            box[X], box[Y] = between(state, left, right), between(state, top, bottom)
        else:
            other, direction = below(state, n), below(state, TURN)
            beside(table, n, other, direction)
            _come_round(box, left, right, top, bottom)
        if not _open(table, n, manner):
            continue
        if manner != FREE:
            gap = 0 if manner == OVERLAPPING else between(state, rules.gap_low, rules.gap_high)
            nestle(table, n, other, direction, gap, below(state, limit + 1), others)
            _come_round(box, left, right, top, bottom)
        if not fits(table, n, rules.reach, among_reds, others):
            continue
        gained = masks.uncovered(table.ground, prints, n)
        if gained > 0 and gained * ONE >= share * prints.full[n]:
            pose[CX] += (box[X] - x) * 256
            pose[CY] += (box[Y] - y) * 256
            lay(table, n)
            return gained
    box[X], box[Y] = x, y
    return 0


@compiled()
def _come_round(box, left, right, top, bottom):  # type: ignore[no-untyped-def]
    """A cell that is laid out of reach comes in at the opposite border, as if it lay against a cell out of sight:
    borders would be sparse if cells were laid against those in sight alone."""
    box[X] = left + (box[X] - left) % (right - left + 1)
    box[Y] = top + (box[Y] - top) % (bottom - top + 1)


@compiled()
def _open(table, n, manner):  # type: ignore[no-untyped-def]
    """Whether no cell covers the middle of cell n nor, unless it is to overlap, four pixels around: most positions that
    cannot do are told so at once."""
    box = table.prints.box[n]
    x, y = box[X] + box[WIDTH] // 2, box[Y] + box[HEIGHT] // 2
    if manner == OVERLAPPING:
        return masks.bare(table.ground, x, y)
    dx, dy = box[WIDTH] // 4, box[HEIGHT] // 4
    return (
        masks.bare(table.ground, x, y)
        and masks.bare(table.ground, x - dx, y)
        and masks.bare(table.ground, x + dx, y)
        and masks.bare(table.ground, x, y - dy)
        and masks.bare(table.ground, x, y + dy)
    )
