"""U-Net++: skips become columns of nodes, each of which sees all before it on its level (Zhou et al. 2018,
arXiv:1807.10165). Without deep supervision: the last node alone is trained and asked."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from segtrain.models.blocks import Norm, check_width, double_convolution, he_normal, pad

LEVELS = 5


class UNetPlusPlus(nn.Module):
    """9,041,601 parameters for RGB and one output, the paper's 9.04 M. Takes and returns what an `EncoderDecoder`
    does."""

    def __init__(self, *, classes: int, channels: int = 3, width: int = 32, norm: Norm = "none") -> None:
        """width: channels of the first level, doubled at each of the four below. norm: after every 3x3 convolution; the
        paper has none."""
        super().__init__()
        check_width(width, norm)
        widths = [width * 2**level for level in range(LEVELS)]
        self.columns = nn.ModuleList(
            nn.ModuleList(
                double_convolution(inputs if column == 0 else (column + 1) * w, w, norm=norm)
                for inputs, w in pairwise([channels, *widths][: LEVELS + 1 - column])
            )
            for column in range(LEVELS)
        )
        self.up = nn.ModuleList(
            nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[: LEVELS - column])
            for column in range(1, LEVELS)
        )
        self.head = nn.Conv2d(width, classes, 1)
        self.pool = nn.MaxPool2d(2)
        self.apply(he_normal)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = pad(image, 2 ** (LEVELS - 1))
        levels: list[list[Tensor]] = []
        for node in self.columns[0]:
            x = node(self.pool(x) if levels else x)
            levels.append([x])
        for column, ups in zip(self.columns[1:], self.up, strict=True):
            # From the top down: the level below still ends with its node of the column before.
            for level, (node, up) in enumerate(zip(column, ups, strict=True)):
                below = up(levels[level + 1][-1])
                levels[level].append(node(torch.cat((*levels[level], below), dim=1)))
        return self.head(levels[0][-1])[..., :height, :width]
