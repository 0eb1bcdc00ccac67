"""COCO's run-length encoding against pycocotools, text for text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco

from smearsynth.base.instance_outlines import encode_instances

MAPS = arrays(
    np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 0, 0, 1, 2, 3, 300])
)


def by_pycocotools(instance: np.ndarray) -> dict[int, str]:
    values = [int(value) for value in np.unique(instance) if value]
    return {value: coco.encode(np.asfortranarray(instance == value))["counts"].decode() for value in values}


@given(MAPS)
def test_small_maps_of_all_kinds(instance: np.ndarray) -> None:
    assert encode_instances(instance) == by_pycocotools(instance)


@given(st.lists(st.integers(0, 2_000_000), max_size=12), st.integers(1, 40))
def test_runs_of_all_lengths(bounds: list[int], height: int) -> None:
    """Lengths of one to five characters, and differences of either sign."""
    flat = np.zeros(-(-(max(bounds, default=0) + 1) // height) * height, np.uint16)
    for start, stop in zip(sorted(bounds)[::2], sorted(bounds)[1::2], strict=False):
        flat[start:stop] = 65535
    instance = flat.reshape(-1, height).T
    assert encode_instances(instance) == by_pycocotools(instance)
