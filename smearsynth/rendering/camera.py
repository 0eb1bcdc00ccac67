"""The camera: noise, tone curve and 8 bits.

A camera's noise in a stored picture is correlated: interpolation of its colour mosaic and compression spread it over
neighbours and channels. In the glass of the four tuning fields at 0.20 um/px its standard deviation is 1.0 to 2.5 grey
levels, its correlation 0.4 to 0.6 at one pixel, 0.05 to 0.25 at two, and 0.8 between channels in three of them. So one
noise of brightness for all channels is added, whose correlation is 0.55 and 0.09; it also deflates far better than an
independent one (80 against 100 kB per picture at a deviation of 1).
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE, rounded
from smearsynth.base.streams import next_u64, stream
from smearsynth.rendering.optical_density import TRANSMITTANCE, density
from smearsynth.rendering.optics import framed

SIDE = 256
"""Height and width in px of the noise tile, which is repeated over larger fields."""
UNIT = 256
"""Standard deviation of the tile."""
_FINE = 16
"""Entries of a tone curve per grey level."""
_BEYOND = 64 * _FINE
"""Entries of a tone curve below black and above white; no noise passes them, 5 deviations of 8 grey levels at most."""
_4 = np.uint32(4)
_ROOT = np.array(rounded(UNIT * (i / 255) ** 0.5 for i in range(256)), np.int64)


@lru_cache(maxsize=1)
def noise_tile() -> npt.NDArray[np.int16]:
    """int16 (SIDE, SIDE): nearly normal noise of mean 0, deviation UNIT and the correlation stated above."""
    return _tile(stream("noise tile"))


@compiled()
def _tile(state):  # type: ignore[no-untyped-def]
    """A value is the sum of the eight bytes of a draw, weighed with its neighbours' by 1, 3, 1 in rows and columns."""
    white = np.empty((SIDE, SIDE), np.int64)
    for y in range(SIDE):
        for x in range(SIDE):
            bits, total = next_u64(state), -8 * 255 // 2
            for byte in range(8):
                total += (bits >> np.uint64(8 * byte)) & np.uint64(255)
            white[y, x] = total
    tile = np.empty((SIDE, SIDE), np.int16)
    for y in range(SIDE):
        for x in range(SIDE):
            total = 0
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    weight = (1 if dy else 3) * (1 if dx else 3)
                    total += weight * white[(y + dy) % SIDE, (x + dx) % SIDE]
            # 209.02 is the deviation of the sum of eight bytes, 11 the gain of the weights.
            tile[y, x] = total * UNIT * 100 // (20902 * 11)
    return tile


@lru_cache(maxsize=256)
def tone_curve(gamma: int) -> npt.NDArray[np.uint8]:
    """uint8: grey level by light in 1/16 grey level from _BEYOND below black on. gamma: in 1/64."""
    return _curve(gamma)


@compiled()
def _curve(gamma):  # type: ignore[no-untyped-def]
    """Rounding of the densities could let it fall by 1, so the largest level so far stands."""
    level = 0
    curve = np.empty(255 * _FINE + 1 + 2 * _BEYOND, np.uint8)
    for i in range(curve.size):
        light = min(max((i - _BEYOND) * 256 // _FINE + 128 // _FINE, 0), 255 * 256)
        dimmed = density(max(light, 256)) * (gamma - 64) // 64
        toned = light * TRANSMITTANCE[dimmed] // ONE if dimmed >= 0 else light * ONE // TRANSMITTANCE[-dimmed]
        level = max(level, min((toned + 128) >> 8, 255))
        curve[i] = level
    return curve


@compiled()
def deviations(at_white, read_share):  # type: ignore[no-untyped-def]
    """int64 (256,): deviation of the noise, in 1/256 grey level, by grey level.

    at_white: at 255. read_share: share of the variance there, in 1/65536, that is read noise and so the same at every
    level; the rest is shot noise, which grows with the light.
    """
    deviation = np.empty(256, np.int64)
    for grey in range(256):
        variance = (read_share * 255 + (ONE - read_share) * grey + ONE // 2) // ONE
        deviation[grey] = at_white * _ROOT[variance] // UNIT
    return deviation


@compiled()
def expose(picture, tile, key, deviation, curve, image):  # type: ignore[no-untyped-def]
    """Fills image, uint8 (H, W, 3), from a framed picture; its noise follows its green channel.

    key: where the tile begins and how it is mirrored, 18 bits of it.
    """
    height, width, _ = image.shape
    key = np.uint64(key)
    last, eight = np.uint64(SIDE - 1), np.uint64(8)
    shift_x, shift_y = key & last, (key >> eight) & last
    mirror_x = last * ((key >> np.uint64(16)) & np.uint64(1))
    mirror_y = last * ((key >> np.uint64(17)) & np.uint64(1))
    columns, plane = np.uint64(width), np.uint64(picture[0].size)
    light, noise, place = picture.reshape(-1), np.empty(width, np.uint32), np.empty(3 * width, np.uint16)
    for y in range(np.uint64(height)):
        row, first = tile[((y + shift_y) & last) ^ mirror_y], framed(y, picture)
        for x in range(columns):
            grey = np.uint64(light[plane + first + x]) >> eight
            n = (row[((x + shift_x) & last) ^ mirror_x] * deviation[grey]) >> 8
            noise[x] = n + _BEYOND * 256 // _FINE
        for c in range(np.uint64(3)):
            start, begin = c * plane + first, c * columns
            for x in range(columns):
                place[begin + x] = np.uint32(np.uint32(light[start + x]) + noise[x]) >> _4
        out = image[y]
        for x in range(columns):
            out[x, 0], out[x, 1] = curve[place[x]], curve[place[columns + x]]
            out[x, 2] = curve[place[columns + columns + x]]
