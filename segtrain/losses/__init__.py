"""Losses on logits."""

from segtrain.losses.make import Loss, make_loss
from segtrain.losses.spec import BceSpec, CrossEntropySpec, DiceSpec, FocalSpec, LossSpec, LovaszSpec
from segtrain.losses.weights import absent_classes, class_weights

__all__ = [
    "BceSpec",
    "CrossEntropySpec",
    "DiceSpec",
    "FocalSpec",
    "Loss",
    "LossSpec",
    "LovaszSpec",
    "absent_classes",
    "class_weights",
    "make_loss",
]
