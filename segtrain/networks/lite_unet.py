"""A U-Net that has seen the world: its way down is EfficientNet-Lite0 as learnt on ImageNet.

What few laboratories can teach, such as a nucleus in a stain that none of them has, a network that was trained on a
million photographs brings along. The way up is small and in group normalisation, which does not depend on the batch.
The image itself is the highest skip, so that borders stay sharp.
"""

from torch import Tensor, nn

from segtrain.networks.blocks import EncoderDecoder, convolution
from segtrain.networks.efficientnet_lite import IMAGENET, NONE, STAGES, LearntEncoder, stages

_UPWARDS = (96, 64, 48, 32, 24)
"""Channels of the way up, from 1/16 of the image's scale to the image's own."""


class LiteUNet(EncoderDecoder, LearntEncoder):
    """2,734,258 parameters for RGB and ten classes; a seventh of `unet_half`'s multiply-adds."""

    def __init__(self, *, classes: int, channels: int = 3, encoder_weights: str = IMAGENET) -> None:
        """channels: 1 or 3, which changes no weight. encoder_weights: see `LearntEncoder`."""
        assert channels in (1, 3), "the encoder takes grey or RGB"
        learnt = encoder_weights != NONE
        skips = (*STAGES[-2::-1], 3)
        inputs = [below + skip for below, skip in zip((STAGES[-1], *_UPWARDS), skips, strict=False)]
        merge = [nn.Sequential(*convolution(i, o, norm="group")) for i, o in zip(inputs, _UPWARDS, strict=True)]
        merge[-2].extend(convolution(_UPWARDS[-2], _UPWARDS[-2], norm="group"))
        super().__init__(
            down=[nn.Identity(), *stages(fixed=learnt)],
            up=[nn.Upsample(scale_factor=2, mode="bilinear") for _ in _UPWARDS],
            merge=merge,
            head=nn.Conv2d(_UPWARDS[-1], classes, 1),
            pool=nn.Identity(),
        )
        self.encoder_weights = encoder_weights

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.expand(-1, 3, -1, -1))
