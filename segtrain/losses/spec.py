"""Which losses a training sums, and with which options."""

from typing import Literal, Self

from pydantic import Field, model_validator

from segtrain.losses.weights import Weighting
from segtrain.spec import Spec


class _Term(Spec):
    factor: float = Field(1.0, gt=0, description="factor of this loss in the sum")


class _Weighted(_Term):
    weights: Weighting = Field("inverse", description="weight of a class, from its pixels in the training set")
    norm: Literal["count", "sum"] = Field(
        "count", description="divide by the count of pixels that have a weight (as the reference), or by their weights"
    )


class CrossEntropySpec(_Weighted):
    """Weighted cross-entropy; its defaults are the reference training's."""


class FocalSpec(_Weighted):
    """Focal loss."""

    gamma: float = Field(2.0, gt=0, le=10, description="how much pixels that are nearly right count less")


class DiceSpec(_Term):
    """Soft Dice."""

    smooth: float = Field(1.0, ge=0, description="pixels added to both sides of the fraction")


class LovaszSpec(_Term):
    """Lovasz-softmax."""


class BceSpec(_Term):
    """Binary cross-entropy of each class against the others."""


class LossSpec(Spec):
    """The losses to sum; one that is not named is left out."""

    cross_entropy: CrossEntropySpec | None = Field(None, description="weighted cross-entropy")
    dice: DiceSpec | None = Field(None, description="soft Dice, over the classes present in the batch")
    focal: FocalSpec | None = Field(None, description="focal loss")
    lovasz: LovaszSpec | None = Field(None, description="Lovasz-softmax, over the classes present in the batch")
    bce: BceSpec | None = Field(None, description="binary cross-entropy, each class against the others")

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"names no loss: name one or several of {', '.join(LossSpec.model_fields)}")
        return self
