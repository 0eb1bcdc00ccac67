"""The label map in the words of `count`: each cell is one class, and what is of no cell is glass."""

from collections.abc import Iterator, Sequence

import numpy as np

from segtrain.counting.cell_measures import FieldCells
from segtrain.inference.field_prediction import NativeLabels
from segtrain.inference.ready_networks import Networks
from segtrain.inference.tiles import Band
from smearsynth.base.errors import UserError
from smearsynth.base.images import MAX_PIXELS, Pixels, size_text
from smearsynth.taxonomy import IGNORE

_ROWS = 256
"""Rows of the map that are brought to the image's size at a time."""


def can_be_named(networks: Networks, shape: tuple[int, int]) -> bool:
    """Whether an image of (h, w) at the networks' scale is predicted cell by cell: where they name whole cells, and
    the image is one that can be counted. UserError where it is not, and a prevalence is stated, which only cells have.
    """
    fits = networks.names_whole_cells and shape[0] * shape[1] <= MAX_PIXELS
    if not fits and networks.operating_point and networks.operating_point.prevalence:
        raise UserError(
            f"an image of {size_text(shape)} px at {networks.um_per_px:g} um/px is predicted pixel by pixel, which it "
            "does not move: leave it out, or name a region",
            "prevalence",
            "region",
        )
    return fits


def named_labels(found: FieldCells, keys: Sequence[str]) -> Iterator[Pixels]:
    """Blocks of full rows of the label at the image's size, uint8 (rows, W), 255 where a cell's class is unsure, from
    the top down. keys: of the classes."""
    kinds = found.class_ids(keys)
    native = NativeLabels(found.map.shape, found.native_shape)
    for top in range(0, len(found.map), _ROWS):
        label = kinds[found.map[top : top + _ROWS]]
        there = (label == np.array([*range(len(keys)), IGNORE])[:, None, None]).astype(np.float32)
        yield from (np.where(block == len(keys), IGNORE, block) for block in native.add(Band(top, there)))
