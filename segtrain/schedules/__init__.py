"""What changes over a training's course: the learning rate, the end, the averaged weights."""

from segtrain.schedules.early_stop import EarlyStop, EarlyStopSpec
from segtrain.schedules.ema import Ema
from segtrain.schedules.improvement import Improvement
from segtrain.schedules.rate import CosineSpec, PiecewiseSpec, PlateauSpec, ScheduleSpec, StepSpec, lr

__all__ = [
    "CosineSpec",
    "EarlyStop",
    "EarlyStopSpec",
    "Ema",
    "Improvement",
    "PiecewiseSpec",
    "PlateauSpec",
    "ScheduleSpec",
    "StepSpec",
    "lr",
]
