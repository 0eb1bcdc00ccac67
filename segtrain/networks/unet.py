"""The original U-Net: 64-128-256-512-1024, 23 convolutional layers (Ronneberger et al. 2015, arXiv:1505.04597).

The paper pads nothing: each 3x3 convolution costs the border, a skip is cut to its middle, and 572x572 px give 388x388.
`padding: valid` is that, fed with an image whose edge is repeated by 92 px, so that logits are as large as the image
and no zero ever enters; for 224x224 px it takes 1.7 times the multiply-adds. `padding: same` pads every convolution
with zeros.

`UNetHalf`, with half the channels, 32-64-128-256-512, and same padding, is the reference study's network.
"""

from functools import partial
from itertools import pairwise
from typing import Literal

from torch import nn

from segtrain.networks.blocks import Activation, EncoderDecoder, Norm, check_width, double_convolution, glorot_normal

LEVELS = 5
MARGIN = 92
"""Pixels that unpadded convolutions take from each side: 2 on the level's own scale at each of nine visits."""
SMALLER = 60
"""An unpadded network gives 16 n - SMALLER px, n on its lowest level."""


class UNet(EncoderDecoder):
    """The paper's U-Net: 31,031,810 parameters for RGB and two classes (31,030,658 for grey images as in the paper,
    which states none).

    A widely used Keras version has 31,031,685: one more 3x3 convolution, to two channels, before its one sigmoid.
    """

    def __init__(
        self,
        *,
        classes: int,
        channels: int = 3,
        width: int = 64,
        padding: Literal["same", "valid"] = "same",
        activation: Activation = "relu",
        norm: Norm = "none",
    ) -> None:
        """width: channels of the first level, doubled at each of the four below. activation, norm: after every 3x3
        convolution, as `blocks.convolution` takes them; the paper has relu and none."""
        check_width(width, norm)
        valid = padding == "valid"
        level = partial(double_convolution, padding=0 if valid else None, activation=activation, norm=norm)
        widths = [width * 2**level for level in range(LEVELS)]
        upwards = widths[-2::-1]
        super().__init__(
            down=[level(i, o) for i, o in pairwise([channels, *widths])],
            up=[nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in upwards],
            merge=[level(2 * w, w) for w in upwards],
            head=nn.Conv2d(width, classes, 1),
            margin=MARGIN if valid else 0,
            beyond=SMALLER if valid else 0,
        )


class UNetHalf(UNet):
    """The reference study's U-Net: 7,760,394 parameters at three channels and ten classes without normalisation.

    Reads colour in the order RGB. The reference training reads BGR: its published weights would need their first
    layer's input channels reversed. Weights are Glorot-normal and biases zero, as in the reference code.
    """

    first_weights = staticmethod(glorot_normal)

    def __init__(
        self,
        *,
        classes: int,
        channels: int = 3,
        width: int = 32,
        activation: Activation = "leaky_relu",
        norm: Norm = "none",
    ) -> None:
        """width: channels of the first level, doubled at each of the four below. activation: leaky_relu (slope 0.1, as
        the reference code has it) or relu. norm: none (as the reference), batch, or group (8 groups) after every 3x3
        convolution, which then has no bias.
        """
        super().__init__(classes=classes, channels=channels, width=width, activation=activation, norm=norm)
