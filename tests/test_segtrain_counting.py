"""Cells parted, joined and measured, on drawn label maps whose truth is known."""

from pathlib import Path

import numpy as np
import pytest
from drawn_labels import KEYS, RADIUS, counted, disc, enlarged, glass, kinds
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops

from segtrain.counting.cell_measures import BORDERS, cells_of, measure_cells
from segtrain.counting.instances import class_groups, join_patches
from segtrain.counting.watershed_split import adjacent_pixels
from segtrain.data.samples import Classes
from segtrain.evaluation.field_evaluation import count_boxed
from segtrain.inference.field_prediction import FieldPrediction
from smearsynth.fields.field_folder import Field
from smearsynth.taxonomy import BY_KEY

RED, SICK, WHITE, PLATELET, CLUMP = "healthy_rbc", "infected_rbc", "neutrophil", "thrombocyte", "platelet_clump"


@pytest.mark.parametrize("apart", [2.1, 2.0, 1.8, 1.6, 1.4])
@pytest.mark.parametrize("turn", [0.0, 0.4, 1.2])
def test_two_red_cells_that_touch_or_overlap_are_two(apart: float, turn: float) -> None:
    x, y = np.cos(turn) * apart * RADIUS, np.sin(turn) * apart * RADIUS
    found = counted(disc(disc(glass(), RED, 80, 80), RED, 80 + x, 80 + y))
    assert len(found.cells) == 2
    places = sorted((cell.x, cell.y) for cell in found.cells)
    assert places[0] == pytest.approx((80, 80), abs=3)
    assert places[1] == pytest.approx((80 + x, 80 + y), abs=3)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_cluster_is_parted_alike_at_every_scale(factor: int) -> None:
    label = glass()
    for column in range(3):
        for row in range(3):
            disc(label, RED, 60 + 1.85 * RADIUS * column, 60 + 1.85 * RADIUS * row)
    assert kinds(enlarged(label, factor), um_per_px=0.2 / factor) == [RED] * 9


@pytest.mark.parametrize("squeeze", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("radius", [0.7 * RADIUS, RADIUS, 1.25 * RADIUS])
def test_one_red_cell_is_one_whatever_its_shape(squeeze: float, radius: float) -> None:
    assert kinds(disc(glass(), RED, 100.3, 90.7, radius, squeeze)) == [RED]


def test_a_pale_centre_or_a_slit_is_no_glass_between_two_cells() -> None:
    ring = disc(disc(glass(), RED, 60, 60), "background", 62, 60, 7)
    assert kinds(ring) == [RED]
    assert counted(ring).cells[0].area_um2 == pytest.approx(1040 * 0.04, rel=0.02)
    folded = disc(glass(), RED, 60, 60)
    folded[50:78, 60:62] = 0
    assert kinds(folded) == [RED]


def test_areas_are_those_of_the_image_whatever_its_sides_are_rounded_to() -> None:
    """101 px of 0.1 um are 50.5 px of 0.2 um: that 50 stand for them must not take 2 % of each cell."""
    label = np.full((50, 50), KEYS.index(CLUMP), np.uint8)
    field = FieldPrediction(
        label=label,
        confidence=np.full_like(label, 255),
        probability=None,
        um_per_px=0.2,
        native_shape=(101, 101),
        native_um_per_px=0.1,
        classes=Classes(tuple(range(len(KEYS))), KEYS, ("#000000",) * len(KEYS)),
    )
    [cell] = cells_of(field).cells
    assert cell.area_um2 == pytest.approx(10.1 * 10.1)
    assert (cell.left, cell.top, cell.right, cell.bottom) == (0, 0, 101, 101)


def test_the_gap_between_cells_stays_glass() -> None:
    label = glass()
    for x, y in ((60, 60), (60 + 2 * RADIUS, 60), (60 + RADIUS, 60 + 1.75 * RADIUS)):
        disc(label, RED, x, y)
    found = counted(label)
    assert len(found.cells) == 3
    middle = np.s_[70:74, 76:81]
    assert (label[middle] == 0).all()
    assert (found.map[middle] == 0).all()


def test_a_white_cell_with_a_waist_is_one_and_two_that_touch_are_two() -> None:
    waist = disc(disc(glass(), WHITE, 80, 80, 33), WHITE, 105, 80, 33)
    assert kinds(waist) == [WHITE]
    touching = disc(disc(glass(), WHITE, 60, 80, 36), "lymphocyte", 60 + 68, 80, 32)
    assert kinds(touching) == ["lymphocyte", WHITE]


def test_platelets_that_touch_are_one_clump() -> None:
    label = glass()
    for x in (60, 72, 84):
        disc(label, CLUMP, x, 60, 8)
    assert kinds(disc(label, PLATELET, 150, 60, 9)) == [CLUMP, PLATELET]


def test_an_infected_cell_with_a_healthy_rim_is_one_infected_cell() -> None:
    label = disc(disc(glass(), RED, 60, 60), SICK, 62, 60, 0.8 * RADIUS)
    assert kinds(label) == [SICK]
    sure_rim = np.where(label == BY_KEY[RED].id, 255, 80).astype(np.uint8)
    assert [cell.kind for cell in measure_cells(label, sure_rim, keys=KEYS, um_per_px=0.2).cells] == [RED]


def test_infected_and_healthy_cells_that_touch_are_each_what_they_are() -> None:
    label = disc(disc(disc(glass(), RED, 60, 60), SICK, 60 + 1.9 * RADIUS, 60), RED, 60 + 3.8 * RADIUS, 60)
    assert kinds(label) == [RED, RED, SICK]


def test_a_wrong_patch_is_of_the_cell_that_it_lies_in() -> None:
    patched = disc(disc(disc(glass(), RED, 60, 60), RED, 60 + 1.9 * RADIUS, 60), "lymphocyte", 60 + RADIUS, 60, 9)
    assert kinds(patched) == [RED, RED]
    nucleus = disc(disc(glass(), WHITE, 80, 80, 38), CLUMP, 85, 80, 18)
    assert kinds(nucleus) == [WHITE]
    assert counted(nucleus).cells[0].confidence == pytest.approx(1 - (18 / 38) ** 2, abs=0.01)


def test_a_platelet_on_a_red_cell_is_a_cell_of_its_own() -> None:
    assert kinds(disc(disc(glass(), RED, 60, 60), PLATELET, 66, 60, 8)) == [RED, PLATELET]


def test_specks_are_no_cells_and_glass_has_none() -> None:
    assert kinds(disc(disc(glass(), RED, 60, 60, 4), WHITE, 120, 120, 6)) == []
    assert kinds(glass()) == []
    assert len(counted(np.full((64, 64), BY_KEY[RED].id, np.uint8)).cells) == 1


def test_classes_that_the_taxonomy_does_not_know_are_parted_as_count_boxed() -> None:
    label = (disc(disc(glass(), RED, 60, 60), RED, 60 + 1.8 * RADIUS, 60) > 0).astype(np.uint8)
    found = measure_cells(label, np.full_like(label, 255), keys=("background", "cell"), um_per_px=0.2)
    assert [cell.kind for cell in found.cells] == ["cell", "cell"]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_cell_is_whole_and_numbered_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = glass(120, 150)
    for _ in range(25):
        disc(label, KEYS[rng.integers(0, 10)], *rng.uniform(0, 150, 2), rng.uniform(3, 30), rng.uniform(1, 3))
    found = counted(label, confidence=200)
    assert [cell.number for cell in found.cells] == list(range(1, len(found.cells) + 1))
    assert set(np.unique(found.map)) - {0} == {cell.number for cell in found.cells}
    areas = np.bincount(found.map.ravel(), minlength=len(found.cells) + 1)[1:]
    assert [cell.area_um2 for cell in found.cells] == pytest.approx((areas * 0.04).tolist())
    assert all(0 < cell.confidence <= 200 / 255 + 1e-9 for cell in found.cells)
    assert len(ndimage.find_objects(found.map)) == len(found.cells)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_measures_are_those_of_another_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = glass(140, 160)
    for _ in range(8):
        disc(label, RED, *rng.uniform(0, 160, 2), rng.uniform(10, 22), rng.uniform(1, 2))
    found = counted(label)
    for cell, region in zip(found.cells, regionprops(found.map), strict=True):
        assert (cell.y, cell.x) == pytest.approx(region.centroid)
        assert (cell.top, cell.left, cell.bottom, cell.right) == region.bbox
        # That library takes pixels for points, of which no moments of their own are in the ellipse's.
        long, short = np.array(region.inertia_tensor_eigvals) + 1 / 12
        assert cell.eccentricity == pytest.approx(np.sqrt(1 - short / long))


def test_places_are_of_the_image_as_it_was_given() -> None:
    label = disc(glass(100, 200), RED, 50, 40)
    found = measure_cells(label, np.full_like(label, 255), keys=KEYS, um_per_px=0.2, native_shape=(300, 600))
    [cell] = found.cells
    assert (cell.x, cell.y) == pytest.approx((151, 121), abs=0.5)
    assert (cell.left, cell.top, cell.right, cell.bottom) == tuple(3 * v for v in (32, 22, 69, 59))
    assert cell.area_um2 == pytest.approx(1040 * 0.04, rel=0.02)


@pytest.mark.parametrize(
    ("x", "y", "edges", "is_counted"),
    [
        (100, 2, "top", True),
        (2, 100, "left", True),
        (100, 198, "bottom", False),
        (198, 100, "right", False),
        (2, 2, "top left", True),
        (198, 2, "top right", False),
        (2, 198, "left bottom", False),
        (100, 100, "", True),
    ],
)
def test_two_edges_are_in_and_two_are_out(x: int, y: int, edges: str, is_counted: bool) -> None:
    [cell] = counted(disc(glass(200, 200), RED, x, y)).cells
    assert (" ".join(cell.borders), cell.counted) == (edges, is_counted)
    assert set(cell.borders) <= set(BORDERS)


def test_fields_side_by_side_count_each_cell_once() -> None:
    whole = glass(400, 400)
    rng = np.random.default_rng(3)
    for x in range(40, 400, 60):
        for y in range(40, 400, 60):
            disc(whole, RED, x + rng.uniform(-8, 8), y + rng.uniform(-8, 8))
    parts = [whole[top : top + 200, left : left + 200] for top in (0, 200) for left in (0, 200)]
    assert sum(cell.counted for part in parts for cell in counted(part.copy()).cells) == len(counted(whole).cells) == 36


def test_contacts_are_all_pairs_of_neighbours() -> None:
    label = np.random.default_rng(0).integers(0, 4, (7, 9)).astype(np.int32)
    naive = []
    for y, x in np.ndindex(label.shape):
        for b in ((y, x + 1), (y + 1, x)):
            if b[0] < 7 and b[1] < 9 and label[y, x] != label[b]:
                naive.append(tuple(sorted((int(label[y, x]), int(label[b])))))
    pairs, places = adjacent_pixels(label)
    assert sorted(map(tuple, pairs.tolist())) == sorted(naive)
    assert (np.sort(label.ravel()[places], axis=1) == pairs).all()


def test_patches_change_no_exact_label() -> None:
    found = class_groups(KEYS, 0.2)
    kind = np.zeros((200, 200), np.uint8)
    for x, y, radius, k in ((50, 50, 18, 1), (50 + 57, 50, 39, 2), (60, 86, 8, 3), (160, 160, 18, 1)):
        kind[(np.mgrid[:200, :200][1] - x) ** 2 + (np.mgrid[:200, :200][0] - y) ** 2 < radius**2] = k
    assert (join_patches(kind, found) == kind).all()


def test_boxed_and_counted_red_cells_of_a_field() -> None:
    """Four red cells, a white one, and one that the border cuts: in a box it counts, without one it does not."""
    label = glass(240, 240)
    for x, y in ((50, 50), (120, 50), (190, 50), (50, 120), (236, 120)):
        disc(label, RED, x, y)
    disc(label, WHITE, 130, 170, 39)
    found = counted(label)
    around = [(x - 20, y - 20, x + 20, y + 20) for x, y in ((50, 50), (120, 50), (190, 50))]
    boxes = [(0, *around[0]), (3, *around[1]), (0, *around[2]), (5, 90, 130, 170, 210)]
    judged = np.ones(label.shape, bool)
    judged[90:150, :90] = False
    image = np.zeros((*label.shape, 3), np.uint8)

    def told(rows: list[tuple[int, ...]]) -> dict[str, int]:
        return count_boxed(Field(Path("x.png"), image, label > 0, judged, np.array(rows)), found)

    assert told(boxes) == {"boxed": 3, "counted": 3}
    assert told([*boxes, (0, 216, 100, 240, 140)]) == {"boxed": 4, "counted": 4}
