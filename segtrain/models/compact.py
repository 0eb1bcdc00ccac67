"""A small network for short trainings: residual, at half the image's scale, normalised, skips added.

At equal training time what counts is how often a network sees an image, and how fast it learns from one. So the most
expensive level of a U-Net, the image's own, is not there: pixels of 2x2 windows lie as channels in one, and the head
gives each of the four its own logits (Shi et al. 2016, arXiv:1609.05158), so borders stay sharp. Skips are added instead of
laid beside (Lin et al. 2017, arXiv:1612.03144). Blocks are residual (He et al. 2016, arXiv:1512.03385), of plain 3x3
convolutions: those with fewer multiply-adds for their channels (depthwise) are slower on most hardware.
"""

from itertools import pairwise

from torch import Tensor, nn

from segtrain.models.blocks import Norm, check_width, convolution, normalisation
from segtrain.models.encoder_decoder import EncoderDecoder

LEVELS = 4


class Residual(nn.Module):
    """Two 3x3 convolutions that change their input."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        self.change = nn.Sequential(*convolution(width, width, norm=norm), *convolution(width, width, norm=norm)[:-1])
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x + self.change(x))


class Add(nn.Module):
    """The skip and what comes from below, of equally many channels."""

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        return skip + x


class Compact(EncoderDecoder):
    def __init__(
        self, *, classes: int, channels: int = 3, width: int = 32, depth: int = 1, norm: Norm = "batch"
    ) -> None:
        check_width(width, norm)
        widths = [width * 2**level for level in range(LEVELS)]
        upwards = widths[-2::-1]
        super().__init__(
            down=[
                nn.Sequential(
                    nn.PixelUnshuffle(2),
                    *convolution(4 * channels, width, norm=norm),
                    *[Residual(width, norm) for _ in range(depth)],
                ),
                *(
                    nn.Sequential(*convolution(i, o, stride=2, norm=norm), *[Residual(o, norm) for _ in range(depth)])
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
