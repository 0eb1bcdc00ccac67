"""Assembled clumps: whole, of the stated members, on one glass, always the same."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_bank import synthetic_bank

from smearsynth.bank.bank import Bank
from smearsynth.bank.clumps import assemble, with_clumps
from smearsynth.base import streams
from smearsynth.taxonomy import PLATELET_CLUMP, THROMBOCYTE

GLASS = np.array([240, 230, 220], np.int64)


@pytest.fixture(scope="module")
def bank() -> Bank:
    """The synthetic bank without its clumps."""
    whole = synthetic_bank(per_class=4)
    clump = whole.class_id == PLATELET_CLUMP
    return replace(whole, class_id=np.where(clump, 1, whole.class_id).astype(np.uint8))


@pytest.fixture(scope="module")
def more(bank) -> Bank:
    return with_clumps(bank, size_range=(3, 5), per_thrombocyte=2.0, seed=7)


def clumps_of(bank: Bank) -> list[int]:
    return np.flatnonzero(bank.class_id == PLATELET_CLUMP).tolist()


def members_of(bank: Bank, clump: int) -> list[int]:
    return [int(row) for row in bank.parts[clump].split()]


def regions(solid: np.ndarray) -> int:
    return cv2.connectedComponents(solid.astype(np.uint8), connectivity=8)[0] - 1


def test_the_cells_before_are_unchanged_and_every_split_gets_its_number(bank, more):
    assert with_clumps(more, size_range=(3, 5), per_thrombocyte=2.0, seed=7).digest == more.digest
    assert more.pixels[: len(bank.pixels)].tobytes() == bank.pixels.tobytes()
    assert more.groups[: len(bank)] == bank.groups
    rows = clumps_of(more)
    assert rows == list(range(len(bank), len(more)))
    assert np.bincount(more.split[rows]).tolist() == [16, 16, 16]


def test_members_are_three_to_five_thrombocytes_of_the_same_split_and_source(more):
    sizes = set()
    for clump in clumps_of(more):
        rows = members_of(more, clump)
        sizes.add(len(rows))
        assert (more.class_id[rows] == THROMBOCYTE).all()
        assert (more.split[rows] == more.split[clump]).all()
        assert (more.source[rows] == more.source[clump]).all()
        assert more.groups[clump] == more.groups[rows[0]]
    assert sizes == {3, 4, 5}


def test_a_clump_is_one_region_without_holes_as_large_as_overlaps_of_its_members_allow(more):
    for clump in clumps_of(more):
        mask = more.rgba(clump)[..., 3]
        solid = mask >= 128
        assert regions(solid) == 1
        contours, _ = cv2.findContours(solid.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        assert len(contours) == 1
        areas = more.area[members_of(more, clump)]
        assert 0.55 * areas.sum() <= solid.sum() == more.area[clump] < areas.sum()
        inner = mask[2:-2, 2:-2]
        assert mask.sum() == inner.sum()
        assert all(line.any() for line in (inner[0], inner[-1], inner[:, 0], inner[:, -1]))


def test_pixels_are_those_of_members_turned_and_not_resampled(more):
    """Every fully opaque pixel has a colour that one of the members has (their glass is the same here)."""
    for clump in clumps_of(more)[:12]:
        colours = {tuple(c) for row in members_of(more, clump) for c in more.rgba(row)[..., :3].reshape(-1, 3)}
        rgba = more.rgba(clump)
        assert {tuple(c) for c in rgba[rgba[..., 3] == 255][:, :3]} <= colours


def test_the_seed_and_nothing_else_decides(bank, more):
    again = with_clumps(bank, size_range=(3, 5), per_thrombocyte=2.0, seed=7)
    other = with_clumps(bank, size_range=(3, 5), per_thrombocyte=2.0, seed=8)
    assert again.digest == more.digest != other.digest


def test_one_thrombocyte_is_enough_and_none_gives_no_clump(bank):
    keep = np.flatnonzero((bank.class_id == THROMBOCYTE) & (bank.split == 1))[0]
    classes = np.where((bank.class_id == THROMBOCYTE) & (np.arange(len(bank)) != keep), 1, bank.class_id)
    more = with_clumps(replace(bank, class_id=classes.astype(np.uint8)), size_range=(3, 3), per_thrombocyte=1, seed=0)
    assert {more.parts[i] for i in clumps_of(more)} == {f"{keep} {keep} {keep}"}
    assert more.split[clumps_of(more)].tolist() == [1] * 8


def test_members_come_to_the_glass_of_the_first_by_transmittance():
    disc = np.zeros((15, 15, 4), np.uint8)
    disc[...] = (120, 115, 110, 0)
    disc[3:-3, 3:-3, 3] = 255
    dim = disc.copy()
    dim[..., :3] //= 2
    clump = assemble([disc, dim, dim], [GLASS, GLASS // 2, GLASS // 2], streams.stream(0))
    opaque = clump[clump[..., 3] == 255][:, :3].astype(int)
    assert np.abs(opaque - (120, 115, 110)).max() <= 1


@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(3, 14), st.integers(3, 14)), min_size=3, max_size=7))
@settings(max_examples=40, deadline=None)
def test_any_convex_platelets_make_one_region_that_keeps_its_densest_colours(seed, radii):
    platelets = []
    for number, (ry, rx) in enumerate(radii):
        y, x = np.mgrid[-ry - 3 : ry + 4, -rx - 3 : rx + 4]
        distance = np.sqrt((y / ry) ** 2 + (x / rx) ** 2)
        alpha = np.clip(128 + (1 - distance) * min(ry, rx) * 100, 0, 255)
        alpha[:2], alpha[-2:], alpha[:, :2], alpha[:, -2:] = 0, 0, 0, 0
        colour = np.broadcast_to(200 - 20 * number, (*y.shape, 3))
        platelets.append(np.dstack([colour, alpha]).astype(np.uint8))
    clump = assemble(platelets, [GLASS] * len(platelets), streams.stream(seed))
    assert regions(clump[..., 3] >= 128) == 1
    darkest = (clump[..., :3] == 200 - 20 * (len(radii) - 1)).all(axis=2) & (clump[..., 3] == 255)
    assert darkest.sum() >= (platelets[-1][..., 3] == 255).sum()
