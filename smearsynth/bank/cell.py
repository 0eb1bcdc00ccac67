"""A cut-out cell at its source's scale, as masking makes it and the quality gate judges it.

The empty glass of an image, and the optical density of everything that lies on it.

Optical density, the logarithm of glass over light (Beer-Lambert), makes cells of bright and dark images comparable
and turns "half-way between glass and rim" into half a number.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell at native scale, cropped to its mask with a margin.

    image: u1 (h, w, 3) RGB as in the file, repaired where the source painted on it. mask: u1 (h, w), soft; 128 lies
    half-way between glass and rim. group: unique within the source. index: running number within (path), named
    cells first. glass: RGB 0-255 of the empty glass of its image; glass_measured: False where it is the source's
    recorded constant. reject: reason of refusal, "" for a good cell.
    """

    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.uint8]
    class_id: int
    source: str
    group: str
    path: str
    sha256: str
    index: int
    um_per_px: float | None
    glass: tuple[int, int, int]
    glass_measured: bool
    reject: str = ""


Image = npt.NDArray[np.uint8]
Density = npt.NDArray[np.float32]

_WINDOW = 4
"""Half-width, grey levels, of the brightness peak whose pixels count as glass: about three times camera noise."""


def measure_glass(image: Image, where: npt.NDArray[np.bool_] | None = None) -> tuple[int, int, int]:
    """The colour of the empty glass: median of the pixels at the brightest broad peak of the brightness histogram.

    image: u1 (h, w, 3) RGB. where: pixels to look at (default all). Returns RGB 0-255, at least 1 each.
    Peaks are sought in the brighter half only (above the midpoint of the 5th and 99th percentile), because glass lets
    through more light than anything on it.
    """
    pixels = image[where] if where is not None else image.reshape(-1, 3)
    brightness = sum(pixels[:, c].astype(np.int16) for c in range(3)) // 3
    low, high = np.percentile(brightness, [5, 99])
    histogram = np.bincount(brightness, minlength=256).astype(np.float64)
    histogram[: int((low + high) / 2)] = 0
    peak = int(np.argmax(np.convolve(histogram, np.ones(2 * _WINDOW + 1), "same")))
    near = pixels[np.abs(brightness - peak) <= _WINDOW]
    r, g, b = (max(1, int(v)) for v in np.median(near, axis=0))
    return r, g, b


def optical_density(image: Image, glass: tuple[int, int, int]) -> Density:
    """f4 (h, w, 3): natural log of glass over light per channel; below 0 where brighter than glass, at most 5.6."""
    light = np.log(np.maximum(np.arange(256), 1)).astype(np.float32)
    table = np.log(np.asarray(glass, np.float32)) - light[:, None]
    return cv2.LUT(image, table[None])


def mean_density(channels: Density) -> Density:
    """f4 (h, w): mean over the channels of f4 (h, w, 3)."""
    mean, green, blue = cv2.split(channels)
    mean += green
    mean += blue
    mean /= 3
    return mean
