"""Footprints, the free mask and how cells come to touch, against the naive warp and plain arrays of booleans."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_scene import MARGIN, naive_footprints
from synthetic_bank import synthetic_bank

from smearsynth.base.fixed_point import ONE
from smearsynth.scene.footprints import apart, count_uncovered, draw, end, share_more, words_needed
from smearsynth.scene.masks import count_free, is_free
from smearsynth.scene.placed_cells import OverlapLimits, add, fits, place_touching, placed_cells
from smearsynth.scene.warp import INSIDE, TURN, Pose, cell_pixels

BANK = synthetic_bank()
CELLS = cell_pixels(BANK)
SIZE = (90, 130)
POSE = st.tuples(
    st.integers(0, len(BANK) - 1),
    st.integers(-5000, 38000),
    st.integers(-5000, 28000),
    st.integers(0, TURN - 1),
    st.integers(0, 1),
    st.integers(ONE * 4 // 5, ONE * 5 // 4),
)


def placed(poses):
    """The cells, placed, and where they are inside: bool (n, H + 2 MARGIN, W + 2 MARGIN)."""
    poses = np.array([(BANK.class_id[p[0]], *p) for p in poses], np.int64)
    words = words_needed(CELLS, poses[:, 1], poses[:, 6])
    made = placed_cells(SIZE, CELLS, 60, len(poses), int(words.sum()))
    made.poses[:] = poses
    for i in range(len(poses)):
        start = end(made.prints, i - 1) if i else 0
        draw(made.prints, i, start, CELLS, Pose(*poses[i, 1:].tolist()))
        add(made, i)
    return made, naive_footprints(poses, BANK, SIZE)


def moved(plane, dx, dy):
    return np.roll(plane, (dy, dx), axis=(0, 1))


@settings(max_examples=80, deadline=None)
@given(pose=POSE)
def test_a_footprint_is_where_the_warp_is_inside(pose):
    made, naive = placed([pose])
    x, y, w, h, start = made.prints.box[0]
    words = made.prints.rows[start : end(made.prints, 0)].astype("<u8").reshape(h, -1)
    got = np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, :w].astype(bool)
    plane = np.zeros_like(naive[0])
    plane[y + MARGIN : y + MARGIN + h, x + MARGIN : x + MARGIN + w] = got
    assert (plane == naive[0]).all()
    assert made.prints.full[0] == naive[0].sum()
    for axis in (0, 1):
        assert got.any(axis=axis)[[0, -1]].all(), "the box is cropped"


def test_discs_tell_what_is_inside_and_outside():
    for cell in range(len(BANK)):
        alpha = BANK.rgba(cell)[..., 3]
        y, x = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
        distance = np.hypot(x - (alpha.shape[1] - 1) / 2, y - (alpha.shape[0] - 1) / 2)
        assert (alpha[distance <= CELLS.core[cell]] >= INSIDE).all()
        assert (alpha[distance > CELLS.rim[cell]] < INSIDE).all()
        assert CELLS.core[cell] > 0.6 * distance[alpha >= INSIDE].max() - 2, "they are of use"


@settings(max_examples=60, deadline=None)
@given(poses=st.lists(POSE, min_size=2, max_size=2), dx=st.integers(-70, 70), dy=st.integers(-70, 70))
def test_shared_pixels_at_any_offset(poses, dx, dy):
    made, naive = placed(poses)
    pixels = int((moved(naive[0], dx, dy) & naive[1]).sum())
    for most in {0, max(pixels - 1, 0), pixels}:
        assert share_more(made.prints, 0, 1, most, dx, dy) == (pixels > most)
    near = any((moved(naive[0], x, y) & naive[1]).any() for x in (-2, -1, 0, 1, 2) for y in (-2, -1, 0, 1, 2))
    assert apart(made.prints, 0, 1, 2) == (not near)


@settings(max_examples=40, deadline=None)
@given(poses=st.lists(POSE, min_size=2, max_size=6), x=st.integers(-20, 150), y=st.integers(-20, 110))
def test_the_free_mask_holds_what_no_cell_covers(poses, x, y):
    made, naive = placed(poses)
    free = ~naive[:, MARGIN:-MARGIN, MARGIN:-MARGIN].any(axis=0)
    assert count_free(made.free) == free.sum()
    within = 0 <= x < SIZE[1] and 0 <= y < SIZE[0]
    assert is_free(made.free, x, y) == (not within or free[y, x])
    others, last = placed(poses[:-1])[0], naive[-1, MARGIN:-MARGIN, MARGIN:-MARGIN]
    before = ~naive[:-1, MARGIN:-MARGIN, MARGIN:-MARGIN].any(axis=0)
    assert count_uncovered(others.free, made.prints, len(poses) - 1) == (last & before).sum()


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    poses=st.lists(POSE, min_size=2, max_size=2),
    direction=st.integers(0, TURN - 1),
    share=st.sampled_from([0, ONE // 10, ONE * 2 // 5]),
    gap=st.integers(0, 2),
)
def test_a_cell_comes_as_near_as_the_limit_lets_it(poses, direction, share, gap):
    made, naive = placed(poses)
    before, towards = made.prints.box[0].copy(), 2 * np.pi * direction / TURN
    limit, limits = share * min(made.prints.full) // ONE, OverlapLimits(share, share, share)

    def pixels(beyond):
        place_touching(made, 0, 1, direction, beyond, limits)
        shift = (made.prints.box[0, :2] - before[:2])[::-1]
        return len({tuple(p + shift) for p in np.argwhere(naive[0])} & {tuple(p) for p in np.argwhere(naive[1])})

    assert pixels(0) <= limit
    assert pixels(-1) > limit, "one pixel nearer it would share too much"
    place_touching(made, 0, 1, direction, 0, limits)
    touching = made.prints.box[0, :2].copy()
    place_touching(made, 0, 1, direction, gap, limits)
    assert np.abs(made.prints.box[0, :2] - touching - gap * np.array([np.cos(towards), np.sin(towards)])).max() <= 1
    box, target = made.prints.box
    across = (box[:2] + box[2:4] / 2) - (target[:2] + target[2:4] / 2)
    length = np.hypot(*across)
    if length > 5:
        assert across @ (np.cos(towards), np.sin(towards)) > 0.95 * length - 2, "it is in the direction asked for"


@pytest.mark.parametrize(
    ("classes", "limit"), [((9, 8), "red_cells"), ((9, 6), "platelets"), ((9, 3), "others"), ((4, 1), "others")]
)
def test_red_cells_and_others_have_limits_of_their_own(classes, limit):
    cells = [int(np.flatnonzero(BANK.class_id == c)[0]) for c in classes]
    poses = [(cells[0], 16000, 11000, 0, 0, ONE), (cells[1], 17500, 11000, 0, 0, ONE)]
    made, naive = placed(poses)
    alone = placed(poses[:1])[0]
    alone.prints.box[0] = made.prints.box[0]
    share = -(-int((naive[0] & naive[1]).sum()) * ONE // int(min(made.prints.full)))
    assert share > 1000
    two = made._replace(newest=np.full_like(made.newest, -1))
    add(two, 0)
    assert fits(two, 1, OverlapLimits(0, 0, 0)._replace(**{limit: share}))
    assert not fits(two, 1, OverlapLimits(ONE, ONE, ONE)._replace(**{limit: share - ONE // 100}))
