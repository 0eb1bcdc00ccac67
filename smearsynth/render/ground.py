"""The ground of a smear: coloured glass under a light that falls off smoothly from its brightest point."""

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE


@compiled()
def fall_off(height, width, centre_x, centre_y, loss):  # type: ignore[no-untyped-def]
    """x, y and slope of the light for `brightness`.

    centre_x, centre_y: brightest point in 1/65536 of width and height. loss: share of the light, in 1/65536, that is
    lost at the corner farthest from it.
    """
    x, y = centre_x * width // ONE, centre_y * height // ONE
    farthest = max(x, width - 1 - x) ** 2 + max(y, height - 1 - y) ** 2
    return x, y, (loss << 32) // max(farthest, 1)


@compiled()
def brightness(x, y, centre_x, centre_y, slope):  # type: ignore[no-untyped-def]
    """Share of the light at a pixel, in 1/65536: it falls with the square of the distance."""
    squared = (x - centre_x) ** 2 + (y - centre_y) ** 2
    return ONE - ((squared * slope) >> 32)
