"""Distractors in the picture: stain that absorbs where it lies, a bar that is burned in, and never a label."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_render import BANK, STILL, planned

from smearsynth.rendering.camera import UNIT, noise_tile
from smearsynth.rendering.layers import draw_scale_bars, lay_distractors
from smearsynth.rendering.looks import render
from smearsynth.rendering.optical_density import DARKEST
from smearsynth.scene.distractors import DEBRIS, PRECIPITATE, SCALE_BAR

HALVING = 1024


def laid(*rows, shape=(120, 150)):
    words = np.zeros(shape, np.uint64)
    lay_distractors(np.array(rows, np.int32).reshape(-1, 7), noise_tile(), words)
    return np.stack([(words >> np.uint64(21 * c)) & np.uint64(2**21 - 1) for c in range(3)], axis=-1).astype(int)


@settings(deadline=None)
@given(
    st.sampled_from([PRECIPITATE, DEBRIS]),
    st.integers(-20 * 256, 170 * 256),
    st.integers(-20 * 256, 140 * 256),
    st.integers(128, 60 * 256),
    st.integers(0, 65535),
    st.integers(0, 2**31 - 1),
)
def test_a_piece_stays_within_its_size(kind, cx, cy, size, angle, key):
    stain = laid((kind, cx, cy, size, angle, HALVING, key))
    y, x = np.argwhere(stain[..., 1] > 0).T
    assert np.hypot(x * 256 - cx, y * 256 - cy).max(initial=0) <= size * 0.9 + 256
    assert stain.max() <= HALVING * (UNIT + int(noise_tile().max()) // 4) // UNIT


@pytest.mark.parametrize(("kind", "least"), [(PRECIPITATE, 0.95), (DEBRIS, 0.6)])
def test_a_piece_is_as_dense_as_asked_in_its_middle_and_as_large_as_asked(kind, least):
    for key in range(20):
        stain = laid((kind, 70 * 256, 60 * 256, 40 * 256, 0, 2 * HALVING, key))[..., 1]
        assert least * 2 * HALVING < stain[57:64, 67:74].mean() < 1.2 * 2 * HALVING
        y, x = np.nonzero(stain > HALVING // 4)
        assert 22 < max(np.ptp(x), np.ptp(y)) + 1 < 60


def test_pieces_differ_by_their_key_and_repeat_with_it():
    row = (DEBRIS, 70 * 256, 60 * 256, 40 * 256, 9000, HALVING)
    assert (laid((*row, 1)) == laid((*row, 1))).all()
    assert (laid((*row, 1)) != laid((*row, 2))).any()


def test_heaps_of_precipitate_do_not_wrap():
    row = (PRECIPITATE, 70 * 256, 60 * 256, 8 * 256, 0, 6 * HALVING, 3)
    assert laid(*[row] * 9)[..., 1].max() == DARKEST


@pytest.mark.parametrize(("glass", "ink"), [(240, 0), (100, 255)])
def test_a_scale_bar_is_straight_and_stands_out_from_the_glass(glass, ink):
    image = np.full((60, 100, 3), glass, np.uint8)
    draw_scale_bars(
        np.array([[SCALE_BAR, 50 * 256, 40 * 256, 30 * 256, 0, 9, 1]], np.int32), np.array([glass * 256] * 3), image
    )
    y, x = np.nonzero((image == ink).all(axis=-1))
    assert (x.min(), x.max(), y.min(), y.max()) == (35, 64, 39, 41)
    assert len(x) == 30 * 3
    assert (image == glass).all(axis=-1).sum() == 60 * 100 - 90


def test_distractors_touch_no_label_and_no_pixel_elsewhere():
    scene = planned([{"name": "still", **STILL}], 3)
    rows = [[PRECIPITATE, 30 * 256, 30 * 256, 5 * 256, 0, 3000, 1], [DEBRIS, 60 * 256, 60 * 256, 30 * 256, 0, 500, 2]]
    dirty = replace(scene, distractors=np.array([*rows, [SCALE_BAR, 60 * 256, 200 * 256, 80 * 256, 0, 0, 5]], np.int32))
    label, instance = dirty.label.copy(), dirty.instance.copy()
    changed = (render(dirty, 0, BANK) != render(scene, 0, BANK)).any(axis=-1)
    assert changed[25:36, 25:36].any()
    assert changed[50:70, 50:70].any()
    assert changed[199:202, 20:100].all()
    assert not changed[:, 110:].any()
    assert (dirty.label == label).all()
    assert (dirty.instance == instance).all()
