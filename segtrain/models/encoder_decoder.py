"""What all U-Nets share: levels that halve the image, and back up, each level joined to its mirror image by a skip."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from segtrain.models.blocks import he_normal, pad


class Concatenate(nn.Module):
    """The skip's channels before those from below; of a skip that is larger, its middle."""

    def forward(self, skip: Tensor, x: Tensor) -> Tensor:
        (height, width), (tall, wide) = x.shape[-2:], skip.shape[-2:]
        top, left = (tall - height) // 2, (wide - width) // 2
        return torch.cat((skip[..., top : top + height, left : left + width], x), dim=1)


class EncoderDecoder(nn.Module):
    """Image to one logit per class and pixel.

    Takes float (B, channels, H, W), -1 to 1, which is u1 / 127.5 - 1; colour in the order RGB. Returns (B, classes, H,
    W). H and W are at least 1 and otherwise free: `pad` brings the image to a size that halves evenly, and the logits
    are cut back.
    """

    first_weights = staticmethod(he_normal)
    """How the weights of every module are drawn."""

    def __init__(
        self,
        *,
        down: Iterable[nn.Module],
        up: Iterable[nn.Module],
        merge: Iterable[nn.Module],
        head: nn.Module,
        join: Iterable[nn.Module] | None = None,
        pool: nn.Module | None = None,
        shrink: int = 1,
        margin: int = 0,
        beyond: int = 0,
    ) -> None:
        """down: N levels from the image's size down; `pool` halves before each but the first (None: 2x2 maximum).
        up, join, merge: N - 1 each, from the lowest level up. Up doubles; join takes (skip, what came up), None
        concatenates; merge takes what join returns. shrink: how many times smaller than
        the image the first level is. margin, beyond: see `pad`."""
        super().__init__()
        self.down = nn.ModuleList(down)
        self.up = nn.ModuleList(up)
        self.merge = nn.ModuleList(merge)
        self.head = head
        self.pool = pool or nn.MaxPool2d(2)
        self.join = nn.ModuleList(join or [Concatenate() for _ in self.up])
        self.multiple = shrink * 2 ** len(self.up)
        self.margin, self.beyond = margin, beyond
        self.apply(self.first_weights)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = pad(image, self.multiple, margin=self.margin, beyond=self.beyond)
        skips = []
        for level in self.down[:-1]:
            x = level(x)
            skips.append(x)
            x = self.pool(x)
        x = self.down[-1](x)
        for up, join, merge in zip(self.up, self.join, self.merge, strict=True):
            x = merge(join(skips.pop(), up(x)))
        return self.head(x)[..., :height, :width]
