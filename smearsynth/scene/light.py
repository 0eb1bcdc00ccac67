"""The optical parameters of one look of one scene: drawn here once, applied in `render` without any chance.

All values are integers; shares and factors are in 1/65536.
- glass, red_cell_colour: red, green and blue in 1/256 grey level.
- light_centre: x and y of the optical axis, in shares of the field's width and height.
- illumination: share of the light that is lost in the corner farthest from the axis.
- field_stop: radius, width and depth of its edge as `render.ground` takes them; depth 0: there is none.
- stain: factors on the densities of red, green and blue.
- own_shares: what white cells and platelets, then red cells, keep of their own stain.
- cell_density: a factor on the density of each cell, in the order of the scene's objects.
- point_spread: sigma in red, green and blue, in 1/256 px.
- colour_shift: x and y of red, then of blue, against green, in 1/256 px.
- noise: its key, its deviation at white in 1/256 grey level, its share of read noise.
- gamma: exponent of the tone curve, in 1/64.
"""

from math import isqrt

from smearsynth.fixed_point import ONE
from smearsynth.recipe.looks import LookSpec
from smearsynth.recipe.ranges import Range
from smearsynth.scene.scene import Light
from smearsynth.streams import State, between, next_u64
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
"""How far outside the field the optical axis may lie."""
_STOP_RADIUS, _STOP_WIDTH = (0.75, 0.95), (0.02, 0.15)
"""Of the field stop's edge, in shares of the distance from the axis to the farthest corner."""
_WARMTH_SPREAD = ONE // 4
"""How far the stain's warmth may stray from that of the glass, both as places in their ranges: a camera that sees the
glass yellow sees the cells so too, and a cold stain on yellow glass would be green."""
_CHANNEL_SPREAD = ONE // 10
"""How far one channel of the red cells' colour may stray from the common draw."""


def light(look: LookSpec, stream: State, cells: int) -> Light:
    """Draws the values of a look for a scene of so many cells; a reference look has none.

    Looks of one base consume the stream alike, so on the same stream they differ by what the recipe overrides alone.
    """
    if look.base == "reference":
        return Light(look=look.name, base=look.base, values={})
    warmth = int(between(stream, 0, ONE))
    values: dict[str, tuple[int, ...]] = {
        "glass": _glass(look, stream, warmth),
        "illumination": (_draw(stream, look.illumination_range, ONE),),
        "light_centre": (between(stream, -_OUTSIDE, ONE + _OUTSIDE), between(stream, -_OUTSIDE, ONE + _OUTSIDE)),
        "field_stop": _field_stop(look, stream),
        "stain": _stain(look, stream, warmth),
        "red_cell_colour": _red_cell_colour(look, stream),
        "own_shares": (round(look.white_cell_own_share * ONE), round(look.red_cell_own_share * ONE)),
        "point_spread": _point_spread(look, stream),
        "colour_shift": tuple(_draw(stream, look.colour_shift_range, UM) for _ in range(4)),
        "noise": (
            int(next_u64(stream) >> 1),
            _draw(stream, look.noise_range, GREY),
            _draw(stream, look.read_noise_range, ONE),
        ),
        "gamma": (_draw(stream, look.gamma_range, GAMMA),),
        "cell_density": _cell_density(look, stream, cells),
    }
    return Light(look=look.name, base=look.base, values=values)


def _draw(stream: State, bounds: Range, unit: float) -> int:
    return int(between(stream, round(bounds[0] * unit), round(bounds[1] * unit)))


def _near(stream: State, place: int, spread: int) -> int:
    """A place in a range, 0 to ONE, that strays from another."""
    return min(max(place + int(between(stream, -spread, spread)), 0), ONE)


def _at(bounds: Range, place: int, unit: float = ONE) -> int:
    """The value at a place of a range, 0 to ONE."""
    low, high = round(bounds[0] * unit), round(bounds[1] * unit)
    return low + (high - low) * place // ONE


def _glass(look: LookSpec, stream: State, warmth: int) -> tuple[int, ...]:
    """A channel that would be brighter than white is white, as in an overexposed picture."""
    grey = _draw(stream, look.glass_range, GREY)
    yellow = grey * _at(look.glass_warmth_range, warmth) // (2 * ONE)
    tint = grey * _draw(stream, look.glass_tint_range, ONE) // ONE
    return tuple(min(max(c, GREY), 255 * GREY) for c in (grey + yellow, grey + tint, grey - yellow))


def _field_stop(look: LookSpec, stream: State) -> tuple[int, ...]:
    drawn = between(stream, 0, ONE - 1) < look.field_stop_chance * ONE
    radius, width = _draw(stream, _STOP_RADIUS, ONE), _draw(stream, _STOP_WIDTH, ONE)
    depth = _draw(stream, look.field_stop_range, ONE)
    return radius, width, depth if drawn else 0


def _point_spread(look: LookSpec, stream: State) -> tuple[int, ...]:
    """The variances of blurs add."""
    green = _draw(stream, look.point_spread_range, UM)
    red, blue = _draw(stream, look.red_spread_range, UM), _draw(stream, look.blue_spread_range, UM)
    return isqrt(green**2 + red**2), green, isqrt(green**2 + blue**2)


def _stain(look: LookSpec, stream: State, warmth: int) -> tuple[int, ...]:
    """Factors on the density of red, green and blue: a warm stain takes less of the red light and more of the blue."""
    strength = _draw(stream, look.stain_strength_range, ONE)
    tint = strength * _at(look.stain_warmth_range, _near(stream, warmth, _WARMTH_SPREAD)) // (2 * ONE)
    return strength - tint, strength, strength + tint


def _cell_density(look: LookSpec, stream: State, cells: int) -> tuple[int, ...]:
    spread = _draw(stream, look.cell_density_spread_range, ONE)
    return tuple(int(between(stream, ONE - spread, ONE + spread)) for _ in range(cells))


def _red_cell_colour(look: LookSpec, stream: State) -> tuple[int, ...]:
    """One draw from dark to bright for all channels, from which each strays a little within its range."""
    common = between(stream, 0, ONE)
    return tuple(_at(bounds, _near(stream, common, _CHANNEL_SPREAD), GREY) for bounds in look.red_cell_colour_range)
