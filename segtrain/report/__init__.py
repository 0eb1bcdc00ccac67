"""What a run looks like: pictures, and scalars for TensorBoard."""

from segtrain.report.pictures import write_pictures

__all__ = ["write_pictures"]
