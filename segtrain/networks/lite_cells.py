"""Names the cell in the middle of a crop: EfficientNet-Lite0 as learnt on ImageNet, as far as 1/16 of the scale.

A U-Net says pixel by pixel what there is, and a parasite of 50 pixels must earn its cell a name through all of them.
Here the crop is seen as a whole: its mean says what most of it is like, its maximum that something is there at all. The
first three stages keep what they learnt on ImageNet: what learns on from few laboratories learns these laboratories. Of
white cells of Bio-net, which gave none, two trainings name 0.96 and 0.95 (balanced) instead of 0.80 and 0.89 where two
stages are kept, and infected cells are found as well.
"""

import torch
from torch import Tensor, nn

from segtrain.networks.blocks import pad
from segtrain.networks.efficientnet_lite import IMAGENET, NONE, STAGES, LearntEncoder, stages
from smearsynth.base.errors import UserError

_DEPTH = 4
_KEPT = 3
"""Stages of the encoder, and those of them that do not learn on."""


class LiteCells(LearntEncoder):
    """A logit per class and pixel, (B, classes, H, W), as of every network; here the same for all pixels, since it is
    the crop that is named: outlines of whoever finds cells are not to decide."""

    def __init__(
        self, *, classes: int, channels: int = 3, encoder_weights: str = IMAGENET, crop: int = 96, dropout: float = 0.2
    ) -> None:
        """channels: 1 or 3, which changes no weight. encoder_weights: see `LearntEncoder`. crop: side of the crops that
        it is trained and used on, px: 96 at 0.20 um/px is the largest white cell. dropout: of the pooled features."""
        assert channels in (1, 3), "the encoder takes grey or RGB"
        if crop < 2**_DEPTH:
            raise UserError(f"crop: must be at least {2**_DEPTH}, not {crop}.")
        super().__init__()
        learnt = encoder_weights != NONE
        self.encoder_weights, self.crop = encoder_weights, crop
        self.down = nn.ModuleList(stages(fixed=learnt)[:_DEPTH])
        if learnt:
            self.down[:_KEPT].requires_grad_(False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * STAGES[_DEPTH - 1], classes)

    def forward(self, image: Tensor) -> Tensor:
        x = pad(image.expand(-1, 3, -1, -1), 2**_DEPTH)
        for stage in self.down:
            x = stage(x)
        pooled = torch.cat((x.mean(dim=(2, 3)), x.amax(dim=(2, 3))), dim=1)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits[:, :, None, None].expand(-1, -1, *image.shape[-2:])
