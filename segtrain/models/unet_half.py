"""The reference study's network: the original U-Net with half the channels, 32-64-128-256-512, and same padding."""

from segtrain.models.blocks import Activation, Norm, glorot_normal
from segtrain.models.unet import UNet


class UNetHalf(UNet):
    """7,760,394 parameters at three channels and ten classes without normalisation.

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
