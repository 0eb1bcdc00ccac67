"""What lies on a smear and is no cell: granules of stain precipitate in clusters, debris, a burned-in scale bar.

They are background: no label, no row. Each kind has a stream of its own, so that switching one off changes nothing
else.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import HALVING, ONE
from smearsynth.base.streams import State, below, between, next_u64
from smearsynth.recipe.scene_options import UNIT_FIELD, DistractorsSpec
from smearsynth.recipe.value_types import Range
from smearsynth.scene.scene import DISTRACTOR_FIELDS
from smearsynth.scene.warp import TURN

PRECIPITATE, DEBRIS, SCALE_BAR = range(3)
"""Kinds of distractors."""
PX = 256
"""Fixed-point pixel."""
_SPREAD = (4 * PX, 32 * PX)
"""Half the width of a cluster of precipitate: 1 to 6 um."""
_MARGIN = (5 * PX, 16 * PX)
"""From a scale bar to the nearest two borders of the field."""
_BLACK = 8 * HALVING


class Dirt(NamedTuple):
    """The recipe's ranges in the units of the rows: (low, high). fields: how often the counts apply to one smear."""

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


def dirt(spec: DistractorsSpec, size: tuple[int, int]) -> Dirt:
    """The ranges for a field of `size` (height, width) px."""
    height, width = size
    return Dirt(
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


def draw_distractors(stream: State, dirt: Dirt) -> npt.NDArray[np.int32]:
    """The distractors of one smear: i4 (m, 7), columns DISTRACTOR_FIELDS, all precipitate first, a scale bar last.

    Granules lie in the field or, at its borders, just outside.
    """
    most = dirt.fields * (dirt.clusters[1] * dirt.granules[1] + dirt.debris[1]) + 1
    rows = np.empty((most, len(DISTRACTOR_FIELDS)), np.int32)
    return rows[: _draw(stream, dirt, rows)].copy()


@compiled()
def _draw(state, dirt, rows):  # type: ignore[no-untyped-def]
    """Fills the first rows and returns how many."""
    precipitate, debris, scale_bar = _branch(state), _branch(state), _branch(state)
    n = 0
    for _ in range(dirt.fields):
        n = _precipitate(precipitate, dirt, rows, n)
        for _ in range(_within(debris, dirt.debris)):
            x, y = below(debris, dirt.width), below(debris, dirt.height)
            _fill(debris, rows[n], DEBRIS, x, y, dirt.debris_size, dirt.debris_density)
            n += 1
    if below(scale_bar, ONE) < dirt.scale_bar:
        n = _scale_bar(scale_bar, dirt, rows, n)
    return n


@compiled()
def _branch(state):  # type: ignore[no-untyped-def]
    return np.array([next_u64(state)])


@compiled()
def _within(state, bounds):  # type: ignore[no-untyped-def]
    return between(state, bounds[0], bounds[1])


@compiled()
def _precipitate(state, dirt, rows, n):  # type: ignore[no-untyped-def]
    """Clusters that are densest in the middle; returns the number of rows after them."""
    if below(state, ONE) >= dirt.precipitate:
        return n
    for _ in range(_within(state, dirt.clusters)):
        x, y, spread = below(state, dirt.width), below(state, dirt.height), _within(state, _SPREAD)
        for _ in range(_within(state, dirt.granules)):
            dx, dy = _off_centre(state, spread), _off_centre(state, spread)
            _fill(state, rows[n], PRECIPITATE, x + dx, y + dy, dirt.granule_size, dirt.granule_density)
            n += 1
    return n


@compiled()
def _off_centre(state, spread):  # type: ignore[no-untyped-def]
    return (between(state, -spread, spread) + between(state, -spread, spread)) // 2


@compiled()
def _scale_bar(state, dirt, rows, n):  # type: ignore[no-untyped-def]
    """A bar near one of the corners, if the field has room for any; returns the number of rows after it."""
    margin_x, margin_y = _within(state, _MARGIN), _within(state, _MARGIN)
    right, below_middle = below(state, 2) == 1, below(state, 2) == 1
    length = min(_within(state, dirt.scale_bar_size), dirt.width - 2 * margin_x)
    if length <= 0 or 2 * margin_y > dirt.height:
        return n
    x, y = margin_x + length // 2, margin_y
    if right:
        x = dirt.width - x
    if below_middle:
        y = dirt.height - y
    _fill(state, rows[n], SCALE_BAR, x, y, (length, length), (_BLACK, _BLACK))
    rows[n, 4] = 0
    return n + 1


@compiled()
def _fill(state, row, kind, x, y, size, density):  # type: ignore[no-untyped-def]
    row[0], row[1], row[2], row[3] = kind, x, y, _within(state, size)
    row[4], row[5], row[6] = below(state, TURN), _within(state, density), next_u64(state) >> np.uint64(33)
