"""The optical parameters of one look of one scene: drawn here once, applied in `render` without any chance.

All values are integers. The glass and the red cells are colours in 1/256 grey level, shares and factors are in
1/65536, and `light_centre` is in 1/65536 of the field's width and height. `stain` are factors on the densities of red,
green and blue; `own_shares` what white cells and platelets, then red cells, keep of their own stain. `noise` is the key
of the noise field.
"""

from smearsynth.fixed_point import ONE
from smearsynth.recipe.looks import LookSpec
from smearsynth.recipe.ranges import Range
from smearsynth.scene.scene import Light
from smearsynth.streams import State, between, next_u64

GREY = 256
"""Fixed-point grey level 1."""
_OUTSIDE = ONE // 4
"""How far outside the field the brightest point may lie."""
_CHANNEL_SPREAD = ONE // 10
"""How far one channel of the red cells' colour may stray from the common draw."""


def light(look: LookSpec, stream: State) -> Light:
    """Draws the values of a look; a reference look has none.

    Looks of one base consume the stream alike, so on the same stream they differ by what the recipe overrides alone.
    """
    if look.base == "reference":
        return Light(look=look.name, base=look.base, values={})
    grey = _draw(stream, look.glass_range, GREY)
    tint = grey * _draw(stream, look.glass_warmth_range, ONE) // (2 * ONE)
    values: dict[str, tuple[int, ...]] = {
        "glass": tuple(min(max(c, GREY), 255 * GREY) for c in (grey + tint, grey, grey - tint)),
        "illumination": (_draw(stream, look.illumination_range, ONE),),
        "light_centre": (between(stream, -_OUTSIDE, ONE + _OUTSIDE), between(stream, -_OUTSIDE, ONE + _OUTSIDE)),
        "stain": _stain(look, stream),
        "red_cell_colour": _red_cell_colour(look, stream),
        "own_shares": (round(look.white_cell_own_share * ONE), round(look.red_cell_own_share * ONE)),
        "noise": (int(next_u64(stream) >> 1),),
    }
    return Light(look=look.name, base=look.base, values=values)


def _draw(stream: State, bounds: Range, unit: int) -> int:
    return int(between(stream, round(bounds[0] * unit), round(bounds[1] * unit)))


def _stain(look: LookSpec, stream: State) -> tuple[int, ...]:
    """Factors on the density of red, green and blue: a warm stain takes less of the red light and more of the blue."""
    strength = _draw(stream, look.stain_strength_range, ONE)
    tint = strength * _draw(stream, look.stain_warmth_range, ONE) // (2 * ONE)
    return strength - tint, strength, strength + tint


def _red_cell_colour(look: LookSpec, stream: State) -> tuple[int, ...]:
    """One draw from dark to bright for all channels, from which each strays a little within its range."""
    common = between(stream, 0, ONE)
    colour = []
    for low, high in look.red_cell_colour_range:
        share = min(max(common + between(stream, -_CHANNEL_SPREAD, _CHANNEL_SPREAD), 0), ONE)
        colour.append(int(round(low * GREY) + (round(high * GREY) - round(low * GREY)) * share // ONE))
    return tuple(colour)
