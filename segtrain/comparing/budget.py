"""What every training of a comparison may spend: so many training images, or so many minutes of training.

Either is a number of images before a training begins, so its learning rate is planned for it: the config's epochs, in
which schedules are written, become equal shares of these images (the config's `images`). A schedule that falls after a
third of the epochs falls after a third of the budget; no training is cut off half-way.

Minutes become images by the speed of each config, measured before the first training, in turn, so that whatever else
the machine does falls on all alike. Validation is outside the budget. What the training then really took is in the
table; on a machine whose speed changes it may differ from what was asked for, while the images are the plan's.
"""

import math
from dataclasses import dataclass

from segtrain.config import Config
from smearsynth.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Spending:
    """kind: "images" or "minutes"."""

    kind: str
    amount: float

    def __str__(self) -> str:
        return f"{self.kind}={self.amount:g}" if self.kind == "minutes" else f"{self.kind}={int(self.amount)}"

    @property
    def in_words(self) -> str:
        """For the table."""
        return f"{self.amount:,.0f} images" if self.kind == "images" else f"{self.amount:g} min of training"

    def images(self, config: Config, images_per_second: float | None) -> int:
        """How many images this is for a config. images_per_second: of its training, for minutes."""
        if self.kind == "images":
            return int(self.amount)
        assert images_per_second is not None
        images = int(60 * self.amount * images_per_second)
        return max(images - images % config.epochs, config.epochs)


def read_budget(text: str) -> Spending:
    """text: "images=N" or "minutes=M". Raises UserError."""
    kind, _, number = text.partition("=")
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    whole = kind != "images" or amount.is_integer()
    if kind not in ("images", "minutes") or not (0 < amount < math.inf) or not whole:
        raise UserError(f"--budget {text}: give images=N, a whole number, or minutes=M.")
    return Spending(kind=kind, amount=amount)
