"""What a run looks like: a page, a model card, pictures, and scalars for TensorBoard."""

from segtrain.report.card import model_card
from segtrain.report.pictures import write_pictures
from segtrain.report.write import write_report

__all__ = ["model_card", "write_pictures", "write_report"]
