"""What augmentation may do to a sample, and what it does to which: the only place where its parameters are drawn.

`augment_host` and `augment_device` apply the same draws, in the same order: mirror, turn, zoom, colour, blur, noise,
JPEG. A draw has a number of its own, so that switching one augmentation on leaves the others as they are.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field

from segtrain.data.keys import keys, uniforms
from segtrain.spec import Spec

Floats = npt.NDArray[np.float64]
_DRAWS = 13


def _ascending_within(least: float, most: float) -> AfterValidator:
    def check(limits: tuple[float, float]) -> tuple[float, float]:
        if not least <= limits[0] <= limits[1] <= most:
            raise ValueError(f"{list(limits)} must ascend and lie within [{least}, {most}]")
        return limits

    return AfterValidator(check)


class AugmentSpec(Spec):
    """Ranges of all augmentations; the defaults change nothing. A value is drawn evenly from a range, per sample."""

    flips: bool = Field(False, description="Mirror left-right and top-bottom, each with probability 1/2.")
    quarter_turns: bool = Field(False, description="Turn by 0, 90, 180 or 270 degrees; square images only.")
    scale_range: Annotated[tuple[float, float], _ascending_within(0.25, 4)] = Field(
        (1.0, 1.0), description="Zoom about the centre; pixels that come in from outside are ignored."
    )
    od_gain_range: Annotated[tuple[float, float], _ascending_within(0.25, 4)] = Field(
        (1.0, 1.0), description="Factor on optical density, drawn for each colour channel."
    )
    od_offset_range: Annotated[tuple[float, float], _ascending_within(-1, 1)] = Field(
        (0.0, 0.0), description="Added to optical density, drawn for each colour channel."
    )
    blur_range: Annotated[tuple[float, float], _ascending_within(0, 8)] = Field(
        (0.0, 0.0), description="Sigma of a Gaussian blur, px."
    )
    noise_range: Annotated[tuple[float, float], _ascending_within(0, 64)] = Field(
        (0.0, 0.0), description="Standard deviation of pixel noise, grey levels of 255."
    )
    jpeg_range: Annotated[tuple[int, int], _ascending_within(5, 100)] = Field(
        (100, 100), description="Quality of JPEG compression, 100 leaves it out; on the host only."
    )

    @property
    def changes_nothing(self) -> bool:
        """Whether every sample stays as it is."""
        return self == AugmentSpec()

    @property
    def needs_host(self) -> bool:
        """Whether something is asked for that only the host can do."""
        return self.jpeg_range != (100, 100)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What is done to n samples; every array has n rows, `gain` and `offset` a column per colour channel."""

    flip_x: npt.NDArray[np.bool_]
    flip_y: npt.NDArray[np.bool_]
    turns: npt.NDArray[np.int64]
    scale: Floats
    gain: Floats
    offset: Floats
    blur: Floats
    noise: Floats
    quality: npt.NDArray[np.int64]
    key: npt.NDArray[np.uint64]
    """Of the noise field."""


def draw(spec: AugmentSpec, *, seed: int, epoch: int, index: npt.NDArray[np.int64]) -> Draws:
    """The draws for the samples `index`, i8 (n,): each a function of (seed, epoch, its number in the split)."""
    key = keys(seed, epoch, index)
    u = uniforms(key, _DRAWS)
    low, high = spec.jpeg_range
    return Draws(
        flip_x=(u[:, 0] < 0.5) & spec.flips,
        flip_y=(u[:, 1] < 0.5) & spec.flips,
        turns=(u[:, 2] * 4).astype(np.int64) * spec.quarter_turns,
        scale=_within(spec.scale_range, u[:, 3]),
        gain=_within(spec.od_gain_range, u[:, 4:7]),
        offset=_within(spec.od_offset_range, u[:, 7:10]),
        blur=_within(spec.blur_range, u[:, 10]),
        noise=_within(spec.noise_range, u[:, 11]),
        quality=low + (u[:, 12] * (high - low + 1)).astype(np.int64),
        key=key,
    )


def od_table(gain: Floats, offset: Floats) -> npt.NDArray[np.uint8]:
    """u1 (..., 256, 3): the new value of each value of each channel, when its optical density -log10(value / 255) is
    multiplied by `gain` and then raised by `offset`, both (..., 3)."""
    light = (np.arange(256) / 255)[:, None] ** gain[..., None, :] * 10.0 ** -offset[..., None, :]
    return np.rint(255 * light.clip(0, 1)).astype(np.uint8)


def blur_kernel(sigma: float) -> npt.NDArray[np.float32]:
    """f4 (2 r + 1,): a Gaussian of `sigma` px, cut at three of them, that sums to 1; for sigma 0 one 1."""
    radius = math.ceil(3 * sigma)
    distance = np.arange(-radius, radius + 1)
    weight = np.exp(-0.5 * (distance / sigma) ** 2) if sigma else np.ones(1)
    return (weight / weight.sum()).astype(np.float32)


def _within(limits: tuple[float, float], u: Floats) -> Floats:
    low, high = limits
    return low + (high - low) * u
