"""What is on a smear and is no cell: granules of stain precipitate in clusters, debris, a burned-in scale bar.

They belong to the background: no label, no object. Each kind has a stream of its own, so that switching one off changes
nothing else.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import HALVING, ONE
from smearsynth.base.streams import State, below, between, next_u64
from smearsynth.base.validation import Range
from smearsynth.recipe.scene_options import UNIT_FIELD, DistractorsSpec
from smearsynth.scene.scene import Distractor
from smearsynth.scene.warp import TURN

PRECIPITATE, DEBRIS, SCALE_BAR = (np.int64(kind) for kind in range(3))
"""Kinds of distractors."""
PX = 256
"""Fixed-point pixel."""
_SPREAD = (np.int64(4 * PX), np.int64(32 * PX))
"""Half the width of a cluster of precipitate: 1 to 6 um."""
_MARGIN = (np.int64(5 * PX), np.int64(16 * PX))
"""From a scale bar to the nearest two borders of the field."""
_BLACK = (np.int64(8 * HALVING), np.int64(8 * HALVING))


class DistractorRanges(NamedTuple):
    """The recipe's ranges, (low, high), in the units of `Distractor`. height, width: of the field, in 1/256 px. fields:
    how often the counts apply to one smear. precipitate, scale_bar: chances, in 1/65536."""

    height: int
    width: int
    fields: int
    precipitate: int
    clusters: tuple[int, int]
    granules: tuple[int, int]
    granule_size: tuple[int, int]
    granule_density: tuple[int, int]
    debris: tuple[int, int]
    debris_size: tuple[int, int]
    debris_density: tuple[int, int]
    scale_bar: int
    scale_bar_size: tuple[int, int]


def distractor_ranges(spec: DistractorsSpec, size: tuple[int, int]) -> DistractorRanges:
    """The ranges for a field of `size` (height, width) px."""
    height, width = size
    return DistractorRanges(
        height=height * PX,
        width=width * PX,
        fields=max(1, round(height * width / UNIT_FIELD)),
        precipitate=round(spec.precipitate * ONE),
        clusters=spec.precipitate_clusters_range,
        granules=spec.granules_range,
        granule_size=_in_units(spec.granule_size_range, PX),
        granule_density=_in_units(spec.granule_density_range, HALVING),
        debris=spec.debris_range,
        debris_size=_in_units(spec.debris_size_range, PX),
        debris_density=_in_units(spec.debris_density_range, HALVING),
        scale_bar=round(spec.scale_bar * ONE),
        scale_bar_size=_in_units(spec.scale_bar_range, PX),
    )


def _in_units(bounds: Range, unit: int) -> tuple[int, int]:
    return round(bounds[0] * unit), round(bounds[1] * unit)


def draw_distractors(state: State, ranges: DistractorRanges) -> npt.NDArray[np.int32]:
    """The distractors of one smear: int32 (m, 7), each row a `Distractor`, all precipitate first, a scale bar last.

    Their centres are in the field but for granules at its borders, which may be just outside.
    """
    most = ranges.fields * (ranges.clusters[1] * ranges.granules[1] + ranges.debris[1]) + 1
    rows = np.empty((most, len(Distractor._fields)), np.int32)
    return rows[: _draw(state, ranges, rows)].copy()


@compiled()
def distractor_of(row):  # type: ignore[no-untyped-def]
    """The distractor in a row, in int64."""
    values = row.astype(np.int64)
    return Distractor(values[0], values[1], values[2], values[3], values[4], values[5], values[6])


@compiled()
def _draw(state, ranges, rows):  # type: ignore[no-untyped-def]
    """Fills the first rows and returns how many."""
    precipitate, debris, scale_bar = _branch(state), _branch(state), _branch(state)
    n = np.int64(0)
    for _ in range(ranges.fields):
        n = _draw_precipitate(precipitate, ranges, rows, n)
        for _ in range(_within(debris, ranges.debris)):
            x, y = below(debris, ranges.width), below(debris, ranges.height)
            _fill(rows[n], _piece(debris, DEBRIS, x, y, ranges.debris_size, ranges.debris_density))
            n += 1
    if below(scale_bar, ONE) < ranges.scale_bar:
        n = _draw_scale_bar(scale_bar, ranges, rows, n)
    return n


@compiled()
def _branch(state):  # type: ignore[no-untyped-def]
    """A stream of its own."""
    return np.array([next_u64(state)])


@compiled()
def _within(state, bounds):  # type: ignore[no-untyped-def]
    return between(state, bounds[0], bounds[1])


@compiled()
def _draw_precipitate(state, ranges, rows, n):  # type: ignore[no-untyped-def]
    """Clusters that are densest in the middle; returns the number of rows after them."""
    if below(state, ONE) >= ranges.precipitate:
        return n
    for _ in range(_within(state, ranges.clusters)):
        x, y, spread = below(state, ranges.width), below(state, ranges.height), _within(state, _SPREAD)
        for _ in range(_within(state, ranges.granules)):
            dx, dy = _off_centre(state, spread), _off_centre(state, spread)
            piece = _piece(state, PRECIPITATE, x + dx, y + dy, ranges.granule_size, ranges.granule_density)
            _fill(rows[n], piece)
            n += 1
    return n


@compiled()
def _off_centre(state, spread):  # type: ignore[no-untyped-def]
    return (between(state, -spread, spread) + between(state, -spread, spread)) // 2


@compiled()
def _draw_scale_bar(state, ranges, rows, n):  # type: ignore[no-untyped-def]
    """A bar along a row near one of the corners, unless the field is too small; returns the number of rows after it."""
    margin_x, margin_y = _within(state, _MARGIN), _within(state, _MARGIN)
    right, below_middle = below(state, 2) == 1, below(state, 2) == 1
    length = min(_within(state, ranges.scale_bar_size), ranges.width - 2 * margin_x)
    if length <= 0 or 2 * margin_y > ranges.height:
        return n
    x, y = margin_x + length // 2, margin_y
    if right:
        x = ranges.width - x
    if below_middle:
        y = ranges.height - y
    bar = _piece(state, SCALE_BAR, x, y, (length, length), _BLACK)
    _fill(rows[n], Distractor(bar.kind, bar.cx, bar.cy, bar.size, 0, bar.density, bar.key))
    return n + 1


@compiled()
def _piece(state, kind, x, y, sizes, densities):  # type: ignore[no-untyped-def]
    """A distractor at a place, its size and density drawn within these ranges."""
    size, angle, density = _within(state, sizes), below(state, TURN), _within(state, densities)
    return Distractor(kind, x, y, size, angle, density, below(state, 1 << 31))


@compiled()
def _fill(row, piece):  # type: ignore[no-untyped-def]
    for column, value in enumerate(piece):
        row[column] = value
