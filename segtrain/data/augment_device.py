"""Augmentation of whole batches on the device, in torch: the same draws as on the host, in the same order.

Mirror, turn and zoom are one map, so that an image is resampled once; it is exact where nothing is zoomed. What is
computed for a sample depends on the ranges and on its own draws, never on the batch it happens to be in.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segtrain.data.augment import AugmentSpec, Draws, blur_kernel, od_table
from segtrain.data.noise import noise_on_device
from smearsynth.taxonomy import IGNORE

_UNTURNED = np.array([np.linalg.matrix_power([[0, -1], [1, 0]], turns) for turns in range(4)])
"""(4, 2, 2): from (x, y) about the centre of an image that was turned to where it lay before."""


def augment(image: Tensor, label: Tensor, draws: Draws, spec: AugmentSpec) -> tuple[Tensor, Tensor]:
    """A batch, changed as its draws from `spec` say: both u1, on their device, the images channels_last.

    image: u1 (B, 3, H, W) RGB. label: u1 (B, H, W); pixels from outside the image become 255. JPEG is left out.
    """
    plain = AugmentSpec()
    if spec.flips or spec.quarter_turns or spec.scale_range != plain.scale_range:
        image, label = _moved(image, label, draws)
    if (spec.od_gain_range, spec.od_offset_range) != (plain.od_gain_range, plain.od_offset_range):
        image = _coloured(image, draws)
    if spec.blur_range != plain.blur_range:
        image = _blurred(image, draws)
    if spec.noise_range != plain.noise_range:
        image = _noisy(image, draws)
    return image.contiguous(memory_format=torch.channels_last), label


def _moved(image: Tensor, label: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    height, width = label.shape[1:]
    mirror = np.stack([1 - 2 * draws.flip_x, 1 - 2 * draws.flip_y], axis=1)[:, :, None]
    back = _on(mirror * _UNTURNED[draws.turns] / draws.scale[:, None, None], image)
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
    moved = label.flatten(1).gather(1, source.flatten(1)).view_as(label)
    return _bytes(pixels), torch.where(inside, moved, IGNORE)


def _coloured(image: Tensor, draws: Draws) -> Tensor:
    table = torch.from_numpy(od_table(draws.gain, draws.offset)).to(image.device, non_blocking=True)
    sample = torch.arange(0, table.numel(), 256 * 3, dtype=torch.int32, device=image.device).view(-1, 1, 1, 1)
    channel = torch.arange(3, dtype=torch.int32, device=image.device).view(3, 1, 1)
    return table.flatten()[image.int() * 3 + sample + channel]


def _blurred(image: Tensor, draws: Draws) -> Tensor:
    kernels = [blur_kernel(sigma) for sigma in draws.blur]
    radius = max(len(kernel) // 2 for kernel in kernels)
    weights = _on(np.stack([np.pad(kernel, radius - len(kernel) // 2) for kernel in kernels]), image)
    pixels = image.float()
    for dim in (2, 3):
        padding = (0, 0, radius, radius) if dim == 2 else (radius, radius, 0, 0)
        padded = functional.pad(pixels, padding, mode="reflect")
        size = image.shape[dim]
        pixels = sum(
            (padded.narrow(dim, k, size) * weights[:, k, None, None, None] for k in range(2 * radius + 1)),
            start=torch.zeros_like(pixels),
        )
    return _bytes(pixels)


def _noisy(image: Tensor, draws: Draws) -> Tensor:
    height, width = image.shape[2:]
    grain = noise_on_device(draws.key, (height, width, 3), image.device).permute(0, 3, 1, 2)
    return _bytes(image + grain * _on(draws.noise, image)[:, None, None, None])


def _on(values: npt.NDArray[np.float64], image: Tensor) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(image.device, non_blocking=True)


def _bytes(pixels: Tensor) -> Tensor:
    return pixels.round().clamp(0, 255).to(torch.uint8)
