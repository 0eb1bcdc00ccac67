"""Light and lens: the lamp through the glass and the stain on it, then the blur and the colour errors of the objective.

The light falls off from the optical axis and ends at the field stop. Both depend on the distance from the axis alone,
so one profile over its square holds them. Then every channel is convolved with its own Gaussian, which may be off the
centre by a fraction of a pixel, so the lateral colour error costs nothing: a smear is so small a part of a microscope's
field that this error is one shift of red and blue against green. The blur is on stored grey levels, as everything here.

A framed picture is uint16 (3, H + 2 REACH, W + 2 REACH), planes of red, green and blue in 1/256 grey level, 0 to 255;
its frame is memory for the convolution and holds nothing.
"""

import math

import numpy as np
import numpy.typing as npt

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import ONE, rounded
from smearsynth.rendering.optical_density import DARKEST, LANE, TRANSMITTANCE

STEPS = 2048
"""Entries of a profile between the axis and the farthest corner."""
REACH = 4
"""A kernel has 2 * REACH + 1 weights; what of a Gaussian is farther out is added to the outermost two."""
TAPS = 2 * REACH + 1
_DENSITY, _NONE = np.uint64(DARKEST), np.uint64(0)
_HALF, _16 = np.uint32(ONE // 2), np.uint32(16)
_STEPS_PER_SIGMA = 64
_SIGMAS = 4
_FINE = 1 << 20
_RAMP = np.array(
    rounded(
        _FINE * (z * (1 + math.erf(z / math.sqrt(2))) / 2 + math.exp(-z * z / 2) / math.sqrt(2 * math.pi))
        for z in (i / _STEPS_PER_SIGMA for i in range(-_SIGMAS * _STEPS_PER_SIGMA, _SIGMAS * _STEPS_PER_SIGMA + 1))
    ),
    np.int64,
)
"""int64 (513,): a ramp max(z, 0) blurred by the unit Gaussian at z = -4 to 4 in steps of 1/64, in 1/2**20."""


@compiled()
def profile(loss, stop_radius, stop_width, stop_depth):  # type: ignore[no-untyped-def]
    """Share of the light, int64 (STEPS + 1,) in 1/65536, over the squared distance from the axis.

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

    densities: uint64 (H, W). glass: int64 (3,), in 1/256 grey level. axis_x, axis_y: in 1/65536 of width and height.
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
    """uint16 (3, DARKEST + 1): light on the axis behind each density, in 1/256 grey level."""
    lit = np.empty((3, DARKEST + 1), np.uint16)
    for c in range(3):
        for d in range(DARKEST + 1):
            lit[c, d] = (glass[c] * TRANSMITTANCE[d] + ONE // 2) >> 16
    return lit


@compiled()
def framed(y, picture):  # type: ignore[no-untyped-def]
    """Where row y of the field, uint64, begins in a plane of a framed picture, uint64."""
    return (y + np.uint64(REACH)) * np.uint64(picture.shape[2]) + np.uint64(REACH)


@compiled()
def _ramp(t, sigma):  # type: ignore[no-untyped-def]
    """A ramp blurred by a Gaussian at t, in 1/2**20 px; t and sigma in 1/256 px."""
    if abs(t) >= _SIGMAS * sigma:
        return max(t, 0) << 12
    place = ((t + _SIGMAS * sigma) * _STEPS_PER_SIGMA << 8) // sigma
    i, rest = place >> 8, place & 255
    value = _RAMP[i] + ((_RAMP[i + 1] - _RAMP[i]) * rest >> 8)
    return (value * sigma) >> 8


def focus(picture: npt.NDArray[np.uint16], spread: tuple[int, ...], shift: tuple[int, ...]) -> None:
    """Blurs a framed picture in place; where neither spread nor shift is, nothing changes.

    spread: sigma in red, green and blue. shift: x and y of red and of blue. All in 1/256 px.
    """
    if any(spread) or any(shift):
        blur(picture, _kernels(np.array(spread), np.array((*shift[:2], 0, 0, *shift[2:]))))


@compiled()
def _kernels(spread, shift):  # type: ignore[no-untyped-def]
    kernels = np.empty((3, 2, TAPS), np.uint32)
    for c in range(3):
        for axis in range(2):
            weights = kernel(spread[c], shift[2 * c + axis])
            for i in range(TAPS):  # one by one, as in `warp`
                kernels[c, axis, i] = weights[i]
    return kernels


@compiled()
def kernel(sigma, shift):  # type: ignore[no-untyped-def]
    """Weights uint32 (TAPS,) with sum 65536 that blur a row and shift it to the right; between pixels it is linear.

    sigma: 0 or more. shift: -256 to 256. Both in 1/256 px.
    """
    weights = np.empty(TAPS, np.uint32)
    below = 0
    for i in range(TAPS):
        t = (i - REACH) * 256 + shift
        upto = ((_ramp(t + 256, sigma) - _ramp(t, sigma)) * ONE) >> 20 if i < TAPS - 1 else ONE
        upto = min(max(upto, below), ONE)
        weights[i] = upto - below
        below = upto
    return weights


@compiled()
def blur(picture, kernels):  # type: ignore[no-untyped-def]
    """Convolves a framed picture in place, every channel along rows and then along columns.

    kernels: uint32 (3, 2, TAPS). The field's outermost pixels are repeated beyond it.
    """
    _, height, width = picture.shape
    blurred = np.empty(height * width, np.uint16)
    for c in range(3):
        rows = picture[c]
        for y in range(REACH, height - REACH):
            rows[y, :REACH], rows[y, width - REACH :] = rows[y, REACH], rows[y, width - REACH - 1]
        for y in range(REACH):
            for x in range(width):  # one by one, as in `warp`
                rows[y, x], rows[height - 1 - y, x] = rows[REACH, x], rows[height - REACH - 1, x]
        flat = rows.reshape(-1)
        _convolve(flat, kernels[c, 0], np.uint64(1), blurred)
        _convolve(blurred, kernels[c, 1], np.uint64(width), flat)


@compiled()
def _convolve(source, weights, step, out):  # type: ignore[no-untyped-def]
    """out[i] = the weighted sum around source[i] over every step-th, as far as these exist.

    Most kernels are narrower than their TAPS, and a tuple of weights has a loop of its own for each length.
    """
    w = weights
    if w[0] | w[8] != 0:
        _sum((w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]), source, step, out)
    elif w[1] | w[7] != 0:
        _sum((w[1], w[2], w[3], w[4], w[5], w[6], w[7]), source, step, out)
    elif w[2] | w[6] != 0:
        _sum((w[2], w[3], w[4], w[5], w[6]), source, step, out)
    else:
        _sum((w[3], w[4], w[5]), source, step, out)


@compiled()
def _sum(weights, source, step, out):  # type: ignore[no-untyped-def]
    taps = np.uint64(len(weights))
    reach = (taps >> np.uint64(1)) * step
    for i in range(np.uint64(out.size) - np.uint64(2) * reach):
        total = _HALF
        for k in range(len(weights)):
            total += np.uint32(source[i + np.uint64(k) * step]) * weights[k]
        out[i + reach] = np.uint32(total) >> _16
