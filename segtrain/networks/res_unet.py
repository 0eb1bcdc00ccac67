"""ResUNet: a U-Net of residual units (Zhang et al. 2018, "Road Extraction by Deep Residual U-Net",
arXiv:1711.10684).
"""

from itertools import pairwise

from torch import Tensor, nn

from segtrain.networks.blocks import EncoderDecoder, check_width

LEVELS = 4


class ResidualUnit(nn.Module):
    """Twice batch normalisation, ReLU and 3x3 convolution, beside a 1x1 convolution that takes the input to the
    output's channels and size."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, begin: bool = False) -> None:
        """begin: on an image, which goes into its first convolution as it is."""
        super().__init__()
        before = [] if begin else [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        self.residual = nn.Sequential(
            *before,
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.shortcut, self.stride = nn.Conv2d(inputs, outputs, 1, bias=False), stride

    def forward(self, x: Tensor) -> Tensor:
        # Strided here and not in the convolution, whose compiled gradient crashes torch 2.13 on a CPU.
        return self.shortcut(x[..., :: self.stride, :: self.stride]) + self.residual(x)


class ResUNet(EncoderDecoder):
    """8,218,762 parameters at three channels and ten classes; 7,780,032 of them are the weights of the 3x3
    convolutions, which are the paper's 7.8 M. Its identity shortcuts cannot join different numbers of channels, so
    here they are 1x1 convolutions. Levels halve by stride and double by repeating pixels, as in the paper."""

    def __init__(self, *, classes: int, channels: int = 3, width: int = 64) -> None:
        """width: channels of the first level, doubled at each of the three below."""
        check_width(width)
        widths = [width * 2**level for level in range(LEVELS)]
        upwards = widths[-2::-1]
        super().__init__(
            down=[
                ResidualUnit(channels, width, begin=True),
                *(ResidualUnit(i, o, stride=2) for i, o in pairwise(widths)),
            ],
            up=[nn.Upsample(scale_factor=2) for _ in upwards],
            merge=[ResidualUnit(3 * w, w) for w in upwards],
            head=nn.Conv2d(width, classes, 1),
            pool=nn.Identity(),
        )
