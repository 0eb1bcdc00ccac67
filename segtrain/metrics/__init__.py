"""Metrics of a whole set. Each takes batches by `update(logits, label)`, adds up processes by `all_reduce()` and gives
plain numbers by `report()`; label 255 enters none."""

from segtrain.metrics.boundary import BoundaryScores
from segtrain.metrics.calibration import CalibrationError
from segtrain.metrics.confusion import Confusion, scores
from segtrain.metrics.objects import ObjectScores
from segtrain.metrics.reference import ReferenceAccuracy

__all__ = ["BoundaryScores", "CalibrationError", "Confusion", "ObjectScores", "ReferenceAccuracy", "scores"]
