"""A small network for short trainings: at half the image's scale, residual, normalised, its skips added.

At equal training time it counts how often a network sees an image, and how much it learns from one. The most expensive
level of a U-Net, the image's own, is left out: the pixels of a 2x2 window come in as channels of one, and the head
gives each of the four its own logits (Shi et al. 2016, arXiv:1609.05158), so that borders stay sharp. Skips are added
instead of laid beside (Lin et al. 2017, arXiv:1612.03144). Blocks are residual (He et al. 2016, arXiv:1512.03385) and
of plain 3x3 convolutions: depthwise ones have fewer multiply-adds and are seldom faster.
"""

from itertools import pairwise

from torch import Tensor, nn

from segtrain.networks.blocks import EncoderDecoder, Norm, check_width, convolution

LEVELS = 4


class Residual(nn.Module):
    """Two 3x3 convolutions that change their input."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        *second, self.activation = convolution(width, width, norm=norm)
        self.change = nn.Sequential(*convolution(width, width, norm=norm), *second)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.change(x))


class Add(nn.Module):
    """The skip, and what comes from below with as many channels."""

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        return skip + x


class Compact(EncoderDecoder):
    """2,392,648 parameters for RGB and ten classes; a fifth of `unet_half`'s multiply-adds."""

    def __init__(self, *, classes: int, channels: int = 3, width: int = 32, norm: Norm = "batch") -> None:
        """width: channels of the first level, at half the image's scale, doubled at each of the three below. norm:
        after every 3x3 convolution, as `blocks.convolution` takes it."""
        check_width(width, norm)
        widths = [width * 2**level for level in range(LEVELS)]
        upwards = widths[-2::-1]
        super().__init__(
            down=[
                nn.Sequential(
                    nn.PixelUnshuffle(2), *convolution(4 * channels, width, norm=norm), Residual(width, norm)
                ),
                *(
                    nn.Sequential(*convolution(i, o, stride=2, norm=norm), Residual(o, norm))
                    for i, o in pairwise(widths)
                ),
            ],
            up=[nn.Sequential(nn.Conv2d(2 * w, w, 1), nn.Upsample(scale_factor=2)) for w in upwards],
            join=[Add() for _ in upwards],
            merge=[Residual(w, norm) for w in upwards],
            head=nn.Sequential(nn.Conv2d(width, 4 * classes, 1), nn.PixelShuffle(2)),
            pool=nn.Identity(),
            shrink=2,
        )
