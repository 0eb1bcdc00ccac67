"""Light: the lamp through the glass of the slide and the stain on it.

The light falls off from the optical axis and ends at the field stop. Both depend on the distance from the axis alone,
so one profile over its square holds them.
"""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.render.density import DARKEST, LANE, TRANSMITTANCE
from smearsynth.render.optics import framed

STEPS = 2048
"""Entries of a profile between the axis and the farthest corner."""
_DENSITY, _NONE = np.uint64(DARKEST), np.uint64(0)
_HALF, _16 = np.uint32(ONE // 2), np.uint32(16)


@compiled()
def profile(loss, stop_radius, stop_width, stop_depth):  # type: ignore[no-untyped-def]
    """Share of the light, i8 (STEPS + 1,) in 1/65536, over the squared distance from the axis.

    The squared distance of the last entry is that of the field's farthest corner; radius and width are in 1/65536 of
    that corner's distance. loss: share of the light that is lost there, with the square of the distance. From
    stop_radius on a further share of stop_depth is lost over stop_width, smoothly.
    """
    light = np.empty(STEPS + 1, np.int64)
    inner, outer = stop_radius**2 // ONE, (stop_radius + stop_width) ** 2 // ONE
    for i in range(STEPS + 1):
        squared = i * ONE // STEPS
        t = min(max((squared - inner) * 1024 // max(outer - inner, 1), 0), 1024)
        smooth = (t * t * (3 * 1024 - 2 * t)) >> 20
        light[i] = (ONE - loss * squared // ONE) * (ONE - ((stop_depth * smooth) >> 10)) // ONE
    return light


@compiled()
def develop(densities, glass, profile, axis_x, axis_y, picture):  # type: ignore[no-untyped-def]
    """Fills a framed picture with the light behind the stain.

    densities: u8 (H, W). glass: i8 (3,), in 1/256 grey level. axis_x, axis_y: in 1/65536 of width and height.
    """
    height, width = densities.shape
    x0, y0 = axis_x * width // ONE, axis_y * height // ONE
    farthest = max(max(x0, width - 1 - x0) ** 2 + max(y0, height - 1 - y0) ** 2, 1)
    step = (STEPS << 32) // farthest
    columns, plane = np.uint64(width), np.uint64(picture[0].size)
    lit, light, share = _lit(glass), picture.reshape(-1), np.empty(width, np.uint32)
    red, green, blue = lit[0], lit[1], lit[2]
    for y in range(np.uint64(height)):
        line, up, first = densities[y], (np.int64(y) - y0) ** 2, framed(y, picture)
        for x in range(columns):
            away = np.int64(x) - x0
            share[x] = profile[np.uint64(((away * away + up) * step) >> 32)]
        for start, bare in ((first, red[0]), (first + plane, green[0]), (first + plane + plane, blue[0])):
            for x in range(columns):
                light[start + x] = bare
        for x in range(columns):
            stain = line[x]
            if stain != _NONE:
                p = first + x
                light[p] = red[stain & _DENSITY]
                light[p + plane] = green[(stain >> LANE) & _DENSITY]
                light[p + plane + plane] = blue[stain >> (LANE + LANE)]
        for c in range(np.uint64(3)):
            start = c * plane + first
            for x in range(columns):
                p = start + x
                light[p] = np.uint32(np.uint32(np.uint32(light[p]) * share[x]) + _HALF) >> _16


@compiled()
def _lit(glass):  # type: ignore[no-untyped-def]
    """u2 (3, DARKEST + 1): light on the axis behind each density, in 1/256 grey level."""
    lit = np.empty((3, DARKEST + 1), np.uint16)
    for c in range(3):
        for d in range(DARKEST + 1):
            lit[c, d] = (glass[c] * TRANSMITTANCE[d] + ONE // 2) >> 16
    return lit
