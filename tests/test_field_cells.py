"""Cells of drawn fields by points and boxes: which are split, how cleanly, and what is refused."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from drawn_cells import RED_CELL, VIOLET, disc, ellipse, photograph
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from smearsynth.bank.field_cells import find_in_field, flooded, split
from smearsynth.bank.outlines import Region
from smearsynth.fields.cell_outlines import Raster
from smearsynth.sources.entry import Entry, Method
from smearsynth.taxonomy import HEALTHY_RBC, THROMBOCYTE

SHAPE = (110, 170)
RADIUS = 18.2
"""A red cell of the taxonomy's mean area at 0.20 um/px."""


def at(x: int, y: int, w: int = 0, h: int = 0, key: str | None = "healthy_rbc", **facts: bool) -> Entry:
    return Entry(path="f", class_key=key, group="f", method=Method.FIELD, box=(x, y, w, h), **facts)


REST = Entry(path="f", class_key=None, group="f", method=Method.FIELD, also_red=True)


def area(region: Region) -> int:
    return int((region.mask >= 128).sum())


def discs(*centres: tuple[float, float], radius: float = RADIUS, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Cover of discs at (x, y), 0-1: they join without adding up."""
    return np.max([disc(shape, y, x, radius) for x, y in centres], axis=0)


def neck_share(distance: float) -> float:
    """Chord that two equal discs have in common over the contour that is left of one."""
    half = np.arccos(distance / 2 / RADIUS)
    return 2 * np.sin(half) / (2 * np.sin(half) + 2 * (np.pi - half))


@pytest.mark.parametrize("distance", [33, 34, 35, 36])
@pytest.mark.parametrize("angle", [0.0, 0.5, 0.8])
def test_two_discs_are_split_at_their_neck(distance: int, angle: float) -> None:
    x, y = 50 + distance * np.cos(angle), 50 + distance * np.sin(angle)
    mask = discs((50, 50), (x, y)) > 0.5
    parts = split(mask)
    assert len(parts.box) == 3
    assert parts.at((50, 50, 0, 0)) != parts.at((round(x), round(y), 0, 0))
    assert ((parts.label > 0) != mask).sum() < 4, "but a gap that they enclose"
    # Where the cleft is narrower than two pixels it is closed: the neck is 4 px longer, of 110 px of contour.
    assert parts.cut[1:] == pytest.approx(neck_share(distance), abs=0.04)


@pytest.mark.parametrize("seed", range(6))
def test_basins_are_those_of_the_watershed_in_full(seed: int) -> None:
    draw = np.random.default_rng(seed)
    centres = draw.uniform((20, 20), (150, 90), (draw.integers(1, 7), 2))
    mask = np.max([disc(SHAPE, y, x, draw.uniform(3, 20)) for x, y in centres], axis=0) > 0.5
    depth = cv2.GaussianBlur(ndimage.distance_transform_edt(mask).astype(np.float32), (0, 0), 0.7)
    height = np.log(np.maximum(depth, 0.1)).astype(np.float64)
    peaks = local_maxima(reconstruction(height + np.log(0.85), height)) & mask
    full = watershed(-depth, ndimage.label(peaks, np.ones((3, 3)))[0], mask=mask)
    assert (flooded(depth, mask) == full).all()


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.1])
@pytest.mark.parametrize("sides", [(18, 18), (26, 13), (30, 10)])
def test_one_cell_stays_one(angle: float, sides: tuple[int, int]) -> None:
    parts = split(ellipse(SHAPE, 55, 80, *sides, angle=angle) > 0.5)
    assert len(parts.box) == 2
    assert parts.cut[1] == 0


def test_pallor_is_filled_whatever_its_form_and_glass_between_cells_is_not() -> None:
    cell, pale = discs((50, 50)) > 0.5, discs((50, 50), radius=12) > 0.5
    target = cell & ~(pale & ~(discs((50, 50), radius=5) > 0.5))
    crescent = cell & ~(pale & ~(discs((44, 50), radius=12) > 0.5))
    opened = (cell & ~pale) & ~((np.indices(SHAPE)[0] > 48) & (np.indices(SHAPE)[0] < 52) & (np.indices(SHAPE)[1] > 50))
    for mask in (cell & ~pale, target, crescent, opened):
        parts = split(mask)
        assert len(parts.box) == 2
        assert ((parts.label > 0) & ~cell).sum() < 5
        assert (parts.label > 0).sum() > 0.98 * cell.sum()
        assert parts.at((50, 50, 0, 0)) == 1
    turns = 2 * np.pi * np.arange(6) / 6
    ring = discs(*((85 + 35.5 * np.cos(t), 55 + 35.5 * np.sin(t)) for t in turns)) > 0.5
    parts = split(ring)
    assert len(parts.box) == 7
    assert parts.label[55, 85] == 0


def test_points_give_whole_cells_with_the_edge_where_it_is() -> None:
    centres = [(30, 30), (100, 60), (135.5, 60)]
    found = find_in_field(photograph([(discs(*centres), RED_CELL)]), [at(33, 28), at(100, 60), at(134, 66)])
    assert [r.reject for r in found.regions] == ["", "", ""]
    assert [area(r) for r in found.regions] == pytest.approx([np.pi * RADIUS**2] * 3, rel=0.04)
    assert max(r.contact for r in found.regions) < 0.12
    for region in found.regions[1:]:
        values = region.mask[(region.mask > 0) & (region.mask < 255)]
        assert len(values) > 40, "its edge is soft all around"
    left, right = (np.zeros(SHAPE, bool) for _ in range(2))
    left[found.regions[1].window] = found.regions[1].mask >= 128
    right[found.regions[2].window] = found.regions[2].mask >= 128
    assert not (left & right).any()


def test_what_overlaps_by_more_touches() -> None:
    for distance in (26, 28, 30):
        image = photograph([(discs((60, 50), (60 + distance, 50)), RED_CELL)])
        found = find_in_field(image, [at(60, 50), at(60 + distance, 50)])
        assert {region.reject for region in found.regions} <= {"touching", "several"}


def test_what_is_refused_for_what_lies_around_it() -> None:
    cover, platelet = discs((30, 30), (85, 55), (130, 30), (130, 85)), discs((85, 60), radius=5)
    image = photograph([(cover, RED_CELL), (platelet, VIOLET)])
    entries = [
        at(30, 30),
        at(33, 31, key="infected_rbc"),
        at(85, 50),
        at(110, 10, 40, 40),
        at(100, 60, 60, 50),
        at(5, 90),
    ]
    found = find_in_field(image, entries)
    assert [r.reject for r in found.regions] == ["several", "several", "covered", "", "other_size", ""]
    assert [area(r) > 0 for r in found.regions] == [True, True, True, True, True, False]
    infected = find_in_field(image, [at(85, 50, key="infected_rbc")])
    assert infected.regions[0].reject == "", "what lies on an infected cell may be what infects it"


def test_a_platelet_by_its_point_or_box() -> None:
    image = photograph([(discs((40, 40)), RED_CELL), (discs((110, 60), radius=9), VIOLET)])
    entries = [at(112, 62, key="thrombocyte"), at(100, 50, 20, 20, key="thrombocyte"), at(80, 95, key="thrombocyte")]
    first, second, none = find_in_field(image, entries).regions
    assert {r.class_id for r in (first, second, none)} == {THROMBOCYTE}
    assert area(first) == area(second) == pytest.approx(np.pi * 81, rel=0.25)
    assert area(none) == 0


def test_the_rest_are_isolated_cells_that_nobody_named() -> None:
    cover = discs((30, 30), (30, 80), (80, 30), (80, 85), (116, 85), (140, 30))
    image = photograph([(cover, RED_CELL), (discs((140, 35), radius=5), VIOLET)])
    entries = [at(30, 30), at(30, 80, key=None), at(60, 10, 40, 40, key=None), REST]
    found = find_in_field(image, entries)
    assert [(r.class_id, r.reject) for r in found.regions][:1] == [(HEALTHY_RBC, "")]
    assert len(found.regions) == 1, "one has a point, one a box, two touch, and a platelet lies on one"
    alone = find_in_field(image, [REST]).regions
    assert len(alone) == 3
    assert [area(r) for r in alone] == pytest.approx([np.pi * RADIUS**2] * 3, rel=0.04)


def test_an_outlined_cell_ends_where_its_outline_does_where_another_touches() -> None:
    left, right = discs((50, 50)) > 0.5, discs((78, 50)) > 0.5
    image = photograph([(discs((50, 50), (78, 50)), RED_CELL)])
    rough = [ndimage.binary_dilation(left, iterations=2), ndimage.binary_erosion(right & ~left, iterations=2)]
    drawn = [replace(at(0, 0, 1, 1), outline=Raster.of(mask & ~rough[1 - i])) for i, mask in enumerate(rough)]
    found = find_in_field(image, drawn)
    for region, due in zip(found.regions, (left, right & ~left), strict=True):
        whole = np.zeros(SHAPE, bool)
        whole[region.window] = region.mask >= 128
        # The rim that both outlines miss or share is 2 px of the cut at most; all else is where the cell ends.
        assert (whole != due).sum() <= 4 * 2 * RADIUS
        assert region.reject == ""
    twice = [replace(one, outline=Raster.of(mask)) for one, mask in zip(drawn, (left, right), strict=True)]
    assert [region.reject for region in find_in_field(image, twice).regions] == ["touching", "touching"]
