"""The deconvolution network: pooling remembers where each maximum stood, and unpooling puts values back there.

Three blocks of two 3x3 convolutions and a 2x2 maximum, dropout, and their mirror image of unpooling and 3x3
deconvolutions (after Noh et al. 2015, arXiv:1505.04366, for red cells on 128x128 px). No skips: all that comes up of an
edge is the switches.

Where a maximum stood is a mask with one 1 in every 2x2 window, and unpooling is a product with it: dense, deterministic
on every device, compiled and exported like any other product. torch's own MaxUnpool2d is none of these.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from segtrain.networks.blocks import check_width, double_convolution, he_normal, pad
from smearsynth.base.errors import UserError

BLOCKS = 3


def switches(x: Tensor) -> Tensor:
    """1 where the maximum of its 2x2 window stands and 0 elsewhere, like `x`, (B, C, H, W) with even H and W.

    Of equal maxima the first counts in reading order, as in torch's MaxPool2d: every window has one 1.
    """
    windows = F.pixel_unshuffle(x, 2).unflatten(1, (-1, 4))
    first = windows.argmax(dim=2, keepdim=True) == torch.arange(4, device=x.device)[:, None, None]
    return F.pixel_shuffle(first.to(x.dtype).flatten(1, 2), 2)


def unpool(x: Tensor, mask: Tensor) -> Tensor:
    """Each value of `x`, (B, C, h, w), where `mask`, (B, C, 2 h, 2 w), has its window's 1; 0 elsewhere."""
    return mask * x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


class DeconvNet(nn.Module):
    """2,325,890 parameters for RGB and two classes. Takes and returns what an `EncoderDecoder` does.

    The study states blocks, kernels, dropout and outputs. Ours are the numbers of channels, VGG's, and the 1x1
    convolution that ends the last block in classes.
    """

    def __init__(self, *, classes: int, channels: int = 3, width: int = 64, dropout: float = 0.5) -> None:
        """width: channels of the first block, doubled at each of the two below. dropout: share of the lowest values
        that a training step leaves out; 0 to below 1."""
        super().__init__()
        check_width(width)
        if not 0 <= dropout < 1:
            raise UserError(f"dropout: must be at least 0 and below 1, not {dropout}.")
        widths = [width * 2**block for block in range(BLOCKS)]
        self.down = nn.ModuleList(double_convolution(i, o) for i, o in pairwise([channels, *widths]))
        self.dropout = nn.Dropout(dropout)
        self.up = nn.ModuleList(_deconvolutions(i, o) for i, o in pairwise([*reversed(widths), width]))
        self.head = nn.Conv2d(width, classes, 1)
        self.apply(he_normal)
        with torch.no_grad():
            for first in [m for m in self.up.modules() if isinstance(m, nn.ConvTranspose2d)][::2]:
                first.weight.mul_(2)  # of the variance that it sees, three quarters are missing

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = pad(image, 2**BLOCKS)
        masks = []
        for block in self.down:
            x = block(x)
            masks.append(switches(x))
            x = F.max_pool2d(x, 2)
        x = self.dropout(x)
        for block in self.up:
            x = block(unpool(x, masks.pop()))
        return self.head(x)[..., :height, :width]


def _deconvolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, inputs, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(inputs, outputs, 3, padding=1),
        nn.ReLU(inplace=True),
    )
