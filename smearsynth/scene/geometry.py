"""Where a turned, mirrored and scaled cell lies on the field, and where a pixel of the field lies in the cell.

Conventions and units are those of `scene.warp`.
"""

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE
from smearsynth.scene.turns import cosine, sine


@compiled()
def inverse(angle, flip, scale):  # type: ignore[no-untyped-def]
    """a, b, c, d in 1/65536: the offset (dx, dy) in the field is (a dx + b dy, c dx + d dy) in the cell."""
    a = (cosine(angle) * ONE + scale // 2) // scale
    b = (sine(angle) * ONE + scale // 2) // scale
    return (-a, -b, -b, a) if flip else (a, b, -b, a)


@compiled()
def extent(width, height, cx, cy, angle, scale):  # type: ignore[no-untyped-def]
    """x, y, width, height of the box on the field outside which the cell's alpha is 0."""
    cos, sin = abs(cosine(angle)), abs(sine(angle))
    w, h = width - 3, height - 3
    half_x = (((cos * w + sin * h) * scale) >> 25) + 4
    half_y = (((sin * w + cos * h) * scale) >> 25) + 4
    x, y = (cx - half_x + 255) >> 8, (cy - half_y + 255) >> 8
    return x, y, ((cx + half_x) >> 8) - x + 1, ((cy + half_y) >> 8) - y + 1


@compiled(error_model="numpy")
def span(start, step, size, first, last):  # type: ignore[no-untyped-def]
    """The part of range(first, last) whose `start + i * step`, in 1/2**24 px, lies in [1, size - 2)."""
    low, end = np.int64(1) << 24, (size - 2) << 24
    if step == 0:
        return (first, last) if low <= start < end else (first, first)
    if step < 0:
        start, step, low, end = -start, -step, 1 - end, 1 - low
    return max(first, -((start - low) // step)), min(last, -((start - end) // step))


@compiled(error_model="numpy")
def line(width, height, dx, dy, inverted, columns):  # type: ignore[no-untyped-def]
    """u, v, first, last: a row of the field meets the cell in its columns from `first` up to `last`.

    u, v: where the first lies in the cell, in 1/2**24 px. dx, dy: offset of column 0 from the cell's centre, in 1/256
    px. inverted: as of `inverse`. columns: how many there are.
    """
    a, b, c, d = inverted
    u = a * dx + b * dy + ((width - 1) << 23)
    v = c * dx + d * dy + ((height - 1) << 23)
    first, last = span(u, a << 8, width, 0, columns)
    first, last = span(v, c << 8, height, first, last)
    return u + ((first * a) << 8), v + ((first * c) << 8), first, max(first, last)
