"""Outlines of instance maps: drawn again by another library they are the cells, pixel for pixel."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.draw import polygon2mask

from smearsynth.base.instance_outlines import Ring, outlines

MAPS = arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 0, 1, 1, 2, 7]))


def drawn(parts: list[list[Ring]], shape: tuple[int, int]) -> np.ndarray:
    """By scikit-image: pixels whose centres an odd number of rings enclose."""
    inside = np.zeros(shape, int)
    for ring in (ring for part in parts for ring in part):
        inside += polygon2mask(shape, ring[:, ::-1] - 0.5)
    return inside % 2 == 1


@given(MAPS)
def test_an_outline_drawn_again_is_the_cell(instance: np.ndarray) -> None:
    found = outlines(instance)
    assert sorted(found) == [value for value in np.unique(instance) if value]
    for value, parts in found.items():
        np.testing.assert_array_equal(drawn(parts, instance.shape), instance == value)


def signed_area(ring: Ring) -> float:
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


@given(MAPS)
def test_the_area_that_rings_enclose_is_the_number_of_pixels(instance: np.ndarray) -> None:
    """By the shoelace formula: holes run the other way round, so their areas are taken off."""
    for value, parts in outlines(instance).items():
        areas = [abs(sum(map(signed_area, part))) for part in parts]
        assert sum(areas) == (instance == value).sum()
        assert areas == sorted(areas, reverse=True)
