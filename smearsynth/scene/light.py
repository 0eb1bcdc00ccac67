"""The optical parameters of one look of one scene: drawn here once, applied by `rendering` without any chance.

All values are integers; shares and factors are in 1/65536.
- glass, red_cell_colour: red, green and blue in 1/256 grey level.
- light_centre: x and y of the optical axis, in shares of the field's width and height.
- illumination: share of the light that is lost in the corner farthest from the axis.
- field_stop: radius, width and depth of its edge as `rendering.optics.profile` takes them; depth 0: there is none.
- stain: factors on the densities of red, green and blue.
- own_shares: what white cells and platelets, then red cells, keep of their own stain.
- cell_density: a factor on the density of each cell, in the order of the scene's objects.
- point_spread: sigma in red, green and blue, in 1/256 px.
- colour_shift: x and y of red, then of blue, against green, in 1/256 px.
- noise: its key, its deviation at white in 1/256 grey level, its share of read noise.
- gamma: exponent of the tone curve, in 1/64.
"""

from functools import lru_cache
from itertools import islice
from math import isqrt

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE
from smearsynth.base.streams import State, between, next_u64
from smearsynth.base.validation import Range
from smearsynth.recipe.look_options import LookSpec
from smearsynth.scene.scene import Light
from smearsynth.taxonomy import UM_PER_PX

GREY = 256
"""Fixed-point grey level 1."""
UM = 256 / UM_PER_PX
"""Fixed-point micrometre of lengths in 1/256 px."""
GAMMA = 64
"""Fixed-point exponent 1: coarse, so that a process makes each tone curve once."""
UNITS: dict[str, float] = {
    "glass": GREY,
    "light_centre": ONE,
    "illumination": ONE,
    "field_stop": ONE,
    "stain": ONE,
    "red_cell_colour": GREY,
    "own_shares": ONE,
    "point_spread": UM,
    "colour_shift": UM,
    "gamma": GAMMA,
    "cell_density": ONE,
}
"""What stands for 1, of a grey level, a share, a factor or a micrometre; `noise` mixes several."""
_OUTSIDE = ONE // 4
"""How far outside the field the optical axis may be."""
_STOP_RADIUS, _STOP_WIDTH = (0.75, 0.95), (0.02, 0.15)
"""Of the field stop's edge, in shares of the distance from the axis to the farthest corner."""
_KEY = (0, -1)
"""Bounds of a draw that is no number but a key."""
_WARMTH_SPREAD = ONE // 4
"""How far the stain's warmth may stray from that of the glass, both as places in their ranges: a camera that sees the
glass yellow sees the cells so too, and a cold stain on yellow glass would be green."""
_CHANNEL_SPREAD = ONE // 10
"""How far one channel of the red cells' colour may stray from the common draw."""


def light(look: LookSpec, state: State, cells: int) -> Light:
    """Draws the values of a look for a scene of so many cells; a reference look has none.

    Looks of one base consume the stream alike, so on the same stream they differ by what the recipe overrides alone.
    """
    if look.base == "reference":
        return Light(look=look.name, base=look.base, values={})
    counts, bounds = _draws(look)
    values = iter(_within(state, bounds).tolist())
    drawn = {name: tuple(islice(values, count)) for name, count in counts.items()}
    (warmth,), (spread,) = drawn["warmth"], drawn["cell_density"]
    return Light(
        look=look.name,
        base=look.base,
        values={
            "glass": _glass(look, warmth, *drawn["glass"]),
            "illumination": drawn["illumination"],
            "light_centre": drawn["light_centre"],
            "field_stop": _field_stop(look, *drawn["field_stop"]),
            "stain": _stain(look, warmth, *drawn["stain"]),
            "red_cell_colour": _red_cell_colour(look, *drawn["red_cell_colour"]),
            "own_shares": (round(look.white_cell_own_share * ONE), round(look.red_cell_own_share * ONE)),
            "point_spread": _point_spread(*drawn["point_spread"]),
            "colour_shift": drawn["colour_shift"],
            "noise": drawn["noise"],
            "gamma": drawn["gamma"],
            "cell_density": tuple(_within(state, np.full((cells, 2), (ONE - spread, ONE + spread))).tolist()),
        },
    )


@lru_cache(maxsize=64)
def _draws(look: LookSpec) -> tuple[dict[str, int], npt.NDArray[np.int64]]:
    """How many draws each value takes, in the order of the stream; int64 (n, 2), the least and largest value of every
    draw."""
    axis = (-_OUTSIDE, ONE + _OUTSIDE)
    bounds = {
        "warmth": [(0, ONE)],
        "glass": [*_in_units(GREY, look.glass_range), *_in_units(ONE, look.glass_tint_range)],
        "illumination": _in_units(ONE, look.illumination_range),
        "light_centre": [axis, axis],
        "field_stop": [(0, ONE - 1), *_in_units(ONE, _STOP_RADIUS, _STOP_WIDTH, look.field_stop_range)],
        "stain": [*_in_units(ONE, look.stain_strength_range), (-_WARMTH_SPREAD, _WARMTH_SPREAD)],
        "red_cell_colour": [(0, ONE), *[(-_CHANNEL_SPREAD, _CHANNEL_SPREAD)] * 3],
        "point_spread": _in_units(UM, look.point_spread_range, look.red_spread_range, look.blue_spread_range),
        "colour_shift": _in_units(UM, *[look.colour_shift_range] * 4),
        "noise": [_KEY, *_in_units(GREY, look.noise_range), *_in_units(ONE, look.read_noise_range)],
        "gamma": _in_units(GAMMA, look.gamma_range),
        "cell_density": _in_units(ONE, look.cell_density_spread_range),
    }
    return {name: len(ranges) for name, ranges in bounds.items()}, np.array(
        [pair for ranges in bounds.values() for pair in ranges]
    )


def _in_units(unit: float, *ranges: Range) -> list[tuple[int, int]]:
    return [(round(low * unit), round(high * unit)) for low, high in ranges]


@compiled()
def _within(state, bounds):  # type: ignore[no-untyped-def]
    """A value within each row of bounds, both ends included; for _KEY 63 bits."""
    values = np.empty(bounds.shape[0], np.int64)
    for i in range(bounds.shape[0]):
        low, high = bounds[i]
        values[i] = np.int64(next_u64(state) >> np.uint64(1)) if low > high else between(state, low, high)
    return values


def _at(bounds: Range, place: int, unit: float = ONE) -> int:
    """The value at a place of a range, from 0 to ONE; what is outside is at its end."""
    ((low, high),) = _in_units(unit, bounds)
    return low + (high - low) * min(max(place, 0), ONE) // ONE


def _glass(look: LookSpec, warmth: int, grey: int, tint: int) -> tuple[int, ...]:
    """A channel that would be brighter than white is white, as in an overexposed picture. warmth: a place."""
    warmer, greener = grey * _at(look.glass_warmth_range, warmth) // (2 * ONE), grey * tint // ONE
    return tuple(min(max(c, GREY), 255 * GREY) for c in (grey + warmer, grey + greener, grey - warmer))


def _field_stop(look: LookSpec, chance: int, radius: int, width: int, depth: int) -> tuple[int, ...]:
    return radius, width, depth if chance < look.field_stop_chance * ONE else 0


def _point_spread(green: int, red: int, blue: int) -> tuple[int, ...]:
    """The variances of blurs add."""
    return isqrt(green**2 + red**2), green, isqrt(green**2 + blue**2)


def _stain(look: LookSpec, warmth: int, strength: int, stray: int) -> tuple[int, ...]:
    """Factors on the density of red, green and blue: a warm stain takes less of the red light and more of the blue."""
    tint = strength * _at(look.stain_warmth_range, warmth + stray) // (2 * ONE)
    return strength - tint, strength, strength + tint


def _red_cell_colour(look: LookSpec, common: int, *strays: int) -> tuple[int, ...]:
    """One draw from dark to bright for all channels, from which each strays a little within its range."""
    ranges = zip(look.red_cell_colour_range, strays, strict=True)
    return tuple(_at(bounds, common + stray, GREY) for bounds, stray in ranges)
