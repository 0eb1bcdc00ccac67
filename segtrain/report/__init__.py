"""What a run looks like: a page, a model card, pictures, and scalars for TensorBoard."""

from segtrain.report.pictures import write_pictures
from segtrain.report.write import write_report

__all__ = ["write_pictures", "write_report"]
