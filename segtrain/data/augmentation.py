"""Augmentation: its ranges, the draws that say what is done to which sample, and the work on batches in torch.

`draw` is the only place where parameters are drawn. `augment_batch` here, on the device, and `augment_sample` in
`albumentations_adapter`, on the host, apply the same draws in the same order: mirror, turn, zoom, colour, blur, noise,
and on the host JPEG. Each augmentation has a number of its own, so that switching one on leaves the others as they are.

On the device mirror, turn and zoom are one map, so that an image is resampled once; it is exact where nothing is
zoomed. What is computed for a sample depends on the ranges and on its own draws, never on the rest of its batch.
"""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import AfterValidator, Field
from torch import Tensor
from torch.nn import functional

from segtrain.data.keyed_random import keys, noise_on_device, uniforms
from segtrain.data.samples import OUTSIDE
from smearsynth.base.validation import Spec

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
    """Key of the noise field."""


def draw(spec: AugmentSpec, *, seed: int, epoch: int, index: npt.NDArray[np.int64]) -> Draws:
    """The draws for the samples `index`, int64 (n,): each a function of (seed, epoch, its number in the split)."""
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
    """uint8 (..., 256, 3): the new value of each value of each channel, when its optical density -log10(value / 255) is
    multiplied by `gain` and then raised by `offset`, both (..., 3)."""
    light = (np.arange(256) / 255)[:, None] ** gain[..., None, :] * 10.0 ** -offset[..., None, :]
    return np.rint(255 * light.clip(0, 1)).astype(np.uint8)


def blur_kernel(sigma: float) -> npt.NDArray[np.float32]:
    """float32 (2 r + 1,): a Gaussian of `sigma` px, cut at three of them, that sums to 1; for sigma 0 one 1."""
    radius = math.ceil(3 * sigma)
    distance = np.arange(-radius, radius + 1)
    weight = np.exp(-0.5 * (distance / sigma) ** 2) if sigma else np.ones(1)
    return (weight / weight.sum()).astype(np.float32)


def _within(limits: tuple[float, float], u: Floats) -> Floats:
    low, high = limits
    return low + (high - low) * u


_UNTURNED = np.array([np.linalg.matrix_power([[0, -1], [1, 0]], turns) for turns in range(4)])
"""(4, 2, 2): from (x, y) about the centre of an image that was turned to where it lay before."""


def augment_batch(
    image: Tensor, maps: dict[str, Tensor], draws: Draws, spec: AugmentSpec
) -> tuple[Tensor, dict[str, Tensor]]:
    """A batch, changed as its draws from `spec` say, on its device, the images channels_last.

    image: uint8 (B, 3, H, W) RGB. maps: integers (B, H, W) each, by name; pixels from outside the image become what
    `OUTSIDE` says. JPEG is left out.
    """
    plain = AugmentSpec()
    if spec.flips or spec.quarter_turns or spec.scale_range != plain.scale_range:
        image, maps = _mirror_turn_zoom(image, maps, draws)
    if (spec.od_gain_range, spec.od_offset_range) != (plain.od_gain_range, plain.od_offset_range):
        image = _change_density(image, draws)
    if spec.blur_range != plain.blur_range:
        image = _blur(image, draws)
    if spec.noise_range != plain.noise_range:
        image = _add_noise(image, draws)
    return image.contiguous(memory_format=torch.channels_last), maps


def _mirror_turn_zoom(image: Tensor, maps: dict[str, Tensor], draws: Draws) -> tuple[Tensor, dict[str, Tensor]]:
    height, width = image.shape[2:]
    mirror = np.stack([1 - 2 * draws.flip_x, 1 - 2 * draws.flip_y], axis=1)[:, :, None]
    back = _to_device(mirror * _UNTURNED[draws.turns] / draws.scale[:, None, None], image)
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    to_x = torch.arange(width, device=image.device) - middle_x
    to_y = (torch.arange(height, device=image.device) - middle_y)[:, None]
    # Not as a product of matrices, which a GPU may round to 10 bits.
    x, y = (back[:, i, 0, None, None] * to_x + back[:, i, 1, None, None] * to_y for i in (0, 1))

    grid = torch.stack([x / max(middle_x, 0.5), y / max(middle_y, 0.5)], dim=-1)
    pixels = functional.grid_sample(image.float(), grid, padding_mode="reflection", align_corners=True)

    column, row = ((x + middle_x).round().long(), (y + middle_y).round().long())
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    source = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    moved = {name: one.flatten(1).gather(1, source.flatten(1)).view_as(one) for name, one in maps.items()}
    return _to_uint8(pixels), {name: torch.where(inside, one, OUTSIDE[name]) for name, one in moved.items()}


def _change_density(image: Tensor, draws: Draws) -> Tensor:
    table = torch.from_numpy(od_table(draws.gain, draws.offset)).to(image.device, non_blocking=True)
    sample = torch.arange(0, table.numel(), 256 * 3, dtype=torch.int32, device=image.device).view(-1, 1, 1, 1)
    channel = torch.arange(3, dtype=torch.int32, device=image.device).view(3, 1, 1)
    return table.flatten()[image.int() * 3 + sample + channel]


def _blur(image: Tensor, draws: Draws) -> Tensor:
    kernels = [blur_kernel(sigma) for sigma in draws.blur]
    radius = max(len(kernel) // 2 for kernel in kernels)
    weights = _to_device(np.stack([np.pad(kernel, radius - len(kernel) // 2) for kernel in kernels]), image)
    pixels = image.float()
    for dim in (2, 3):
        padding = (0, 0, radius, radius) if dim == 2 else (radius, radius, 0, 0)
        padded = functional.pad(pixels, padding, mode="reflect")
        size = image.shape[dim]
        pixels = sum(
            (padded.narrow(dim, k, size) * weights[:, k, None, None, None] for k in range(2 * radius + 1)),
            start=torch.zeros_like(pixels),
        )
    return _to_uint8(pixels)


def _add_noise(image: Tensor, draws: Draws) -> Tensor:
    height, width = image.shape[2:]
    grain = noise_on_device(draws.key, (height, width, 3), image.device).permute(0, 3, 1, 2)
    return _to_uint8(image + grain * _to_device(draws.noise, image)[:, None, None, None])


def _to_device(values: npt.NDArray[np.float64], image: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(image.device, non_blocking=True)


def _to_uint8(pixels: Tensor) -> Tensor:
    return pixels.round().clamp(0, 255).to(torch.uint8)
