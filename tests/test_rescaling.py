"""A source's scale; cells at 40x: of the right size, of their own colour alone, with the margin that warping needs."""

import warnings

import numpy as np
import pytest
from drawn_cells import GLASS, VIOLET, disc, ellipse, photograph
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from smearsynth.bank.bank import MARGIN
from smearsynth.bank.cutting import find_cells
from smearsynth.bank.rescaling import blur_of, scale_of, to_40x
from smearsynth.sources.entry import Entry, Method
from smearsynth.taxonomy import UM_PER_PX

COLOUR = (120, 80, 150)


def soft_disc(side: int, radius: float, sigma: float, dy: float = 0.0, dx: float = 0.0) -> np.ndarray:
    """A disc with an edge blurred by a Gaussian, f8 (side, side), 0-1."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    return ndtr((radius - np.hypot(y - dy, x - dx)) / sigma)


def blended(share: np.ndarray, ground: tuple[int, int, int] = GLASS) -> np.ndarray:
    """A cell of one colour, in these shares of light, on a ground."""
    return np.rint(np.multiply.outer(share, COLOUR) + np.multiply.outer(1 - share, ground)).astype(np.uint8)


def as_mask(share: np.ndarray) -> np.ndarray:
    return np.rint(share * 255).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.1, 2), st.floats(9, 30), st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 7))
def test_area_in_square_micrometres_is_kept(factor, radius_40x, dy, dx, more):
    radius = radius_40x / factor
    share = soft_disc(int(2 * radius) + 16 + more, radius, 0.04 * radius + 0.5, dy, dx)
    rgba = to_40x(blended(share), as_mask(share), factor * UM_PER_PX)
    # OpenCV copies where the rounded size does not change: 2 % at most, for the smallest cells and factors near 1.
    assert rgba[..., 3].sum() / 255 == pytest.approx(share.sum() * factor**2, rel=0.025)
    lattice = 12
    assert (rgba[..., 3] >= 128).sum() == pytest.approx(np.pi * radius_40x**2, rel=0.02, abs=lattice)


@pytest.mark.parametrize("ground", [GLASS, (0, 0, 0), (255, 0, 0)], ids=["glass", "black", "red"])
@pytest.mark.parametrize("um_per_px", [0.02, 0.05, 0.1, 0.14, 0.2, 0.3, 0.4])
@pytest.mark.parametrize("sigma", [0.6, 1.5, 2.5])
def test_nothing_but_the_cell_is_mixed_into_its_colour(ground, um_per_px, sigma):
    for shift in (0.0, 0.3, 0.5):
        share = soft_disc(90, 32.2, sigma, shift, shift)
        rgba = to_40x(blended(share, ground), as_mask(share), um_per_px)
        difference = np.abs(rgba[rgba[..., 3] > 0][:, :3].astype(int) - COLOUR)
        assert difference.max() <= (2 if ground == GLASS else 4)


@pytest.mark.parametrize("method", list(Method))
def test_a_cell_that_was_masked_brings_no_colour_of_its_ground(method):
    shape = (120, 120)
    cover = disc(shape, 60, 60, 40.2)
    image = photograph([(cover, VIOLET)], sigma=1.5, noise=0)
    own = np.array(GLASS) * np.exp(-np.array(VIOLET))
    wide = disc(shape, 60, 60, 42) > 0.5
    if method is Method.BLACK_GROUND:
        image = np.where(wide[..., None], image, 0).astype(np.uint8)
    if method is Method.OUTLINE:
        image[wide & ~(disc(shape, 60, 60, 40) > 0.5)] = (255, 0, 0)
    point = (60, 60, 0, 0) if method is Method.FIELD else None
    entry = Entry(path="drawn", class_key="neutrophil", group="drawn", method=method, box=point)
    found = find_cells(image, [entry], wide.astype(np.uint8), GLASS)
    region = found.regions[0]
    for um_per_px in (0.1, 0.2):
        rgba = to_40x(found.image[region.window], region.mask, um_per_px)
        cell = rgba[rgba[..., 3] > 0][:, :3].astype(float)
        assert np.abs(cell - own).max() <= (2 if method is not Method.OUTLINE else 6)


@pytest.mark.parametrize("factor", [0.1, 0.37, 0.9, 1.0, 1.4, 2.0])
def test_the_margin_is_empty_and_no_wider_than_needed(factor):
    share = soft_disc(71, 30, 1.2)
    rgba = to_40x(blended(share), as_mask(share), factor * UM_PER_PX)
    mask = rgba[..., 3]
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert (rows[0], columns[0]) == (MARGIN, MARGIN)
    assert (len(mask) - 1 - rows[-1], mask.shape[1] - 1 - columns[-1]) == (MARGIN, MARGIN)
    assert rgba.flags.c_contiguous


def test_at_40x_the_mask_stays_as_it_is():
    share = soft_disc(60, 22, 1.2)
    rgba = to_40x(blended(share), as_mask(share), UM_PER_PX)
    mask = as_mask(share)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inner = rgba[MARGIN:-MARGIN, MARGIN:-MARGIN, 3]
    assert (inner == mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).all()


def test_texture_inside_the_rim_is_untouched_at_40x():
    share = soft_disc(90, 38, 1.0)
    image = np.random.default_rng(0).integers(60, 200, (90, 90, 3), np.uint8)
    rgba = to_40x(image, as_mask(share), UM_PER_PX)
    y, x = np.nonzero(as_mask(share))
    deep = soft_disc(90, 32, 0.1) > 0.99
    placed = np.zeros((90, 90, 3), np.uint8)
    placed[y.min() : y.max() + 1, x.min() : x.max() + 1] = rgba[MARGIN:-MARGIN, MARGIN:-MARGIN, :3]
    assert (placed[deep] == image[deep]).all()


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_the_blur_of_an_edge_is_read_off_its_mask(sigma):
    assert blur_of(as_mask(soft_disc(140, 50, sigma))) == pytest.approx(sigma, rel=0.2, abs=0.15)


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 2.0])
def test_tiny_cells_keep_a_margin(size, factor):
    image = np.full((size, size, 3), 90, np.uint8)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        rgba = to_40x(image, np.full((size, size), 255, np.uint8), factor * UM_PER_PX)
    assert min(rgba.shape[:2]) >= 2 * MARGIN
    assert (rgba[..., :3] == 90).all()
    assert not rgba[:MARGIN, :, 3].any()
    assert not rgba[:, -MARGIN:, 3].any()


def test_a_long_thin_cell_keeps_its_proportions():
    cover = ellipse((60, 160), 30, 80, 60, 12)
    rgba = to_40x(blended(cover), as_mask(cover), 0.5 * UM_PER_PX)
    rows, columns = (rgba[..., 3] >= 128).any(1).sum(), (rgba[..., 3] >= 128).any(0).sum()
    assert (columns, rows) == (pytest.approx(60, abs=1), pytest.approx(12, abs=1))


def test_a_scale_is_the_geometric_mean_over_the_classes_that_have_cells():
    areas = {8: [4 * 1092] * 5, 9: [16 * 1040] * 7, 1: [1] * 4}
    assert scale_of("s", None, ("infected_rbc", "healthy_rbc"), areas) == pytest.approx(
        UM_PER_PX / np.sqrt(8), abs=1e-6
    )
    assert scale_of("s", None, ("healthy_rbc", "eosinophil"), areas) == pytest.approx(UM_PER_PX / 4, abs=1e-6)
    assert scale_of("s", 0.123, (), {}) == 0.123
