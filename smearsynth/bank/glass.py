"""The empty glass of an image, the optical density of all that lies on it, and how much of that is dye.

Optical density, the logarithm of glass over light (Beer-Lambert), makes cells of bright and dark images comparable
and turns "half-way between glass and rim" into half a number.

In a Romanowsky smear a red cell absorbs green and blue light in one fixed proportion, its own for every slide; nuclei,
granules and cytoplasm of white cells and platelets absorb more green than that. The proportion is fitted per image, so
no stain vector of another laboratory is assumed.
"""

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
"""RGB, (h, w, 3)."""
Mask = npt.NDArray[np.bool_]
Density = npt.NDArray[np.float32]
"""Optical density, natural log: (h, w), mean over the channels, or (h, w, 3), where a docstring says so."""
Glass = tuple[int, int, int]
"""RGB 0-255 of the empty glass."""

_PEAK_WIDTH = 4
"""Half-width, grey levels, of the brightness peak whose pixels count as glass: about three times camera noise."""
LEAST_DENSITY = 0.06
"""Density above which a pixel is no glass: three times camera noise."""
_RED_CELL_PROPORTION = 1.6
"""Green over blue density where an image shows no red cell: the median over the PBC fields."""
_PROPORTION_RANGE = 1.1, 2.0
"""Outside these bounds the pixels were not red cells, but the pale parts of stained ones."""


def measure_glass(image: Image, where: Mask | None = None) -> Glass:
    """The colour of the empty glass: median of the pixels at the brightest broad peak of the brightness histogram.

    image: uint8 (h, w, 3) RGB. where: pixels to look at (default all). Returns RGB, at least 1 each. Peaks are sought
    in the brighter half only (above the midpoint of the 5th and 99th percentile), because glass lets through more
    light than anything on it.
    """
    pixels = image[where] if where is not None else image.reshape(-1, 3)
    brightness = sum(pixels[:, c].astype(np.int16) for c in range(3)) // 3
    low, high = np.percentile(brightness, [5, 99])
    histogram = np.bincount(brightness, minlength=256).astype(np.float64)
    histogram[: int((low + high) / 2)] = 0
    peak = int(np.argmax(np.convolve(histogram, np.ones(2 * _PEAK_WIDTH + 1), "same")))
    near = pixels[np.abs(brightness - peak) <= _PEAK_WIDTH]
    r, g, b = (max(1, int(v)) for v in np.median(near, axis=0))
    return r, g, b


def optical_density(image: Image, glass: Glass) -> Density:
    """float32 (h, w, 3): log of glass over light per channel; below 0 where brighter than glass, at most 5.6."""
    light = np.maximum(np.arange(256), 1)[:, None]
    table = (np.log(glass) - np.log(light)).astype(np.float32)
    return cv2.LUT(image, table[None])


def mean_density(channels: Density) -> Density:
    """float32 (h, w): mean over the channels of float32 (h, w, 3)."""
    mean, green, blue = cv2.split(channels)
    mean += green
    mean += blue
    mean /= 3
    return mean


def foreground(density: Density) -> Mask:
    """Everything that is clearly no glass: 0.7 of Otsu's threshold on the densities up to a red cell's.

    density: float32 (h, w). Otsu's own threshold lies half-way for the common cell, so inside the edge of a pale one,
    and a contour that has to grow outwards to half-way is stopped by whatever lies near. From 0.7 of it nearly all
    contours shrink instead: ragged edges fell from 16 % to 2 % of the red cells of the PBC fields.
    """
    clipped = np.clip(density, 0.0, 0.5)
    threshold, _ = cv2.threshold(np.rint(clipped * 510).astype(np.uint8), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return density > max(0.7 * threshold / 510, LEAST_DENSITY)


def stain_excess(channels: Density) -> Density:
    """float32 (h, w): green density beyond what the red cells' proportion of green to blue explains.

    channels: float32 (h, w, 3), densities of red, green and blue.
    """
    red, green, blue = cv2.split(channels)
    red_cells = (mean_density(channels) > 0.1) & (red < 0.45) & (red > 0.05) & (blue > 0.05)
    fitted = np.median(green[red_cells] / blue[red_cells]) if red_cells.sum() > 500 else np.inf
    low, high = _PROPORTION_RANGE
    return green - np.float32(fitted if low < fitted < high else _RED_CELL_PROPORTION) * blue
