import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_scene import naive_warp
from synthetic_bank import synthetic_bank

from smearsynth.base.fixed_point import ONE, rounded
from smearsynth.scene.warp import QUARTER, QUARTER_SINES, TURN, Pose, cell_pixels, cosine, sine, tile_sizes, warp

BANK = synthetic_bank(per_class=1)
CELLS = cell_pixels(BANK)
RED = int(np.flatnonzero(BANK.class_id == 9)[0])
PLATELET = int(np.flatnonzero(BANK.class_id == 6)[0])


def drawn(cell, cx, cy, angle, flip, scale):
    tile = np.full(int(tile_sizes(CELLS, np.array([cell]), scale)[0]), 0xDEADBEEF, np.uint32)
    x, y, w, h = warp(CELLS, Pose(cell, cx, cy, angle, flip, scale), tile)
    return (x, y), tile[: w * h].view(np.uint8).reshape(h, w, 4)


def on_plane(cell, half, *pose):
    """The cell drawn into a plane of (2 half + 1) px a side, whose middle has the coordinates (0, 0)."""
    (x, y), tile = drawn(cell, *pose)
    plane = np.zeros((2 * half + 1, 2 * half + 1, 4), np.uint8)
    plane[y + half : y + half + tile.shape[0], x + half : x + half + tile.shape[1]] = tile
    return plane


@pytest.mark.parametrize("cell", [RED, PLATELET])
@pytest.mark.parametrize("flip", [0, 1])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_and_flips_on_whole_pixels_copy_the_cell(cell, flip, turns):
    source = BANK.rgba(cell)
    # A positive angle turns clockwise as seen, numpy's rot90 turns the other way.
    expected = np.rot90(source[:, ::-1] if flip else source, -turns)
    h, w = expected.shape[:2]
    (x, y), tile = drawn(cell, (w - 1) * 128 + 512, (h - 1) * 128 + 256, turns * QUARTER, flip, ONE)
    whole = np.zeros((h + 4, w + 4, 4), np.uint8)
    whole[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    got = whole[1 : 1 + h, 2 : 2 + w]
    assert (got[1:-1, 1:-1][expected[1:-1, 1:-1, 3] > 0] == expected[1:-1, 1:-1][expected[1:-1, 1:-1, 3] > 0]).all()
    assert (got[..., 3] == expected[..., 3]).all()


@settings(max_examples=60, deadline=None)
@given(
    cell=st.integers(0, len(BANK) - 1),
    cx=st.integers(-(10**6), 10**6),
    cy=st.integers(-(10**6), 10**6),
    angle=st.integers(0, TURN - 1),
    flip=st.integers(0, 1),
    scale=st.integers(ONE // 2, 2 * ONE),
)
def test_equals_the_naive_warp(cell, cx, cy, angle, flip, scale):
    (x, y), tile = drawn(cell, cx, cy, angle, flip, scale)
    h, w = tile.shape[:2]
    ys, xs = np.mgrid[y - 3 : y + h + 3, x - 3 : x + w + 3]
    expected = naive_warp(BANK.rgba(cell), np.array([0, cell, cx, cy, angle, flip, scale]), ys, xs)
    assert (tile == expected[3:-3, 3:-3]).all()
    expected[3:-3, 3:-3] = 0
    assert not expected[..., 3].any(), "the tile leaves out a part of the cell"


def test_moving_by_whole_pixels_moves_the_tile():
    (x, y), tile = drawn(RED, 77, 200, 12345, 1, 64000)
    (x2, y2), moved = drawn(RED, 77 + 256 * 40, 200 - 256 * 3, 12345, 1, 64000)
    assert (x2 - x, y2 - y) == (40, -3)
    assert (tile == moved).all()


def test_small_turn_is_clockwise_and_scale_grows_the_cell():
    half = 40
    plain = on_plane(RED, half, 0, 0, 0, 0, ONE)[..., 3].astype(int)
    ys, xs = np.mgrid[-half : half + 1, -half : half + 1]
    turned = on_plane(RED, half, 0, 0, TURN // 8, 0, ONE)[..., 3].astype(int)
    # The cell is wider than high; turned clockwise by an eighth, its long axis points down to the right.
    assert abs((plain * xs * ys).sum()) < 0.02 * (turned * xs * ys).sum()
    area = {s: (on_plane(RED, half, 0, 0, 777, 0, s)[..., 3] >= 128).sum() for s in (ONE, ONE * 5 // 4)}
    assert area[ONE * 5 // 4] / area[ONE] == pytest.approx(25 / 16, rel=0.02)


def test_sines_are_the_nearest_integers_and_symmetric():
    angles = np.arange(0, TURN, 7)
    got = np.array([sine(a) for a in angles])
    assert np.abs(got - ONE * np.sin(angles * math.pi / 32768)).max() < 0.5000001
    assert [sine(QUARTER * k) for k in range(5)] == [0, ONE, 0, -ONE, 0]
    assert [cosine(QUARTER * k) for k in range(4)] == [ONE, 0, -ONE, 0]
    assert (np.diff(QUARTER_SINES) >= 0).all()


def test_rounding_refuses_what_a_library_could_turn():
    assert rounded([0.4, 0.6, -1.6]) == [0, 1, -2]
    with pytest.raises(AssertionError):
        rounded([3.5 + 1e-11])
