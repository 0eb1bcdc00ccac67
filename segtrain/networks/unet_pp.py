"""U-Net++: skips become columns of nodes, each of which sees all before it on its level (Zhou et al. 2018,
arXiv:1807.10165). Without deep supervision: the last node alone is trained and asked.
"""

import torch
from torch import Tensor, nn

from segtrain.networks.blocks import Norm, check_width, double_convolution, he_normal, pad

LEVELS = 5


class UNetPlusPlus(nn.Module):
    """9,042,177 parameters for RGB and one output, the paper's 9.04 M. Takes and returns what an `EncoderDecoder`
    does. `nodes` and `up` are in the order of use: column by column, each from the image's size down."""

    def __init__(self, *, classes: int, channels: int = 3, width: int = 32, norm: Norm = "none") -> None:
        """width: channels of the first level, doubled at each of the four below. norm: after every 3x3 convolution; the
        paper has none."""
        super().__init__()
        check_width(width, norm)
        widths = [width * 2**level for level in range(LEVELS)]
        places = [(column, level) for column in range(LEVELS) for level in range(LEVELS - column)]
        above = [channels, *widths]
        self.nodes = nn.ModuleList(
            double_convolution((column + 1) * widths[level] if column else above[level], widths[level], norm=norm)
            for column, level in places
        )
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2) for column, level in places if column
        )
        self.head = nn.Conv2d(width, classes, 1)
        self.pool = nn.MaxPool2d(2)
        self.apply(he_normal)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = pad(image, 2 ** (LEVELS - 1))
        nodes, ups = iter(self.nodes), iter(self.up)
        levels: list[list[Tensor]] = []
        for _ in range(LEVELS):
            x = next(nodes)(self.pool(x) if levels else x)
            levels.append([x])
        for column in range(1, LEVELS):
            # From the top down: the level below still ends with its node of the column before.
            for level in range(LEVELS - column):
                below = next(ups)(levels[level + 1][-1])
                levels[level].append(next(nodes)(torch.cat((*levels[level], below), dim=1)))
        return self.head(levels[0][-1])[..., :height, :width]
