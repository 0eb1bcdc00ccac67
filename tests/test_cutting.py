"""Masks against drawn truth: the contour half-way between glass and rim, the right cell, and nothing else."""

import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_cells import CYTOPLASM, GLASS, RED_CELL, VIOLET, disc, ellipse, photograph, radius_of
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from smearsynth.bank.cutting import CutImage, ImageJob, cut_image, find_cells, repair_outline
from smearsynth.bank.outlines import FoundCells, Region, box_window, components_with
from smearsynth.fields.otsu import fill_holes
from smearsynth.recipe.cell_options import GateSpec
from smearsynth.sources.entry import Entry, Method
from smearsynth.taxonomy import HEALTHY_RBC

NAMED = Entry(path="drawn", class_key="neutrophil", group="drawn", method=Method.STAIN)


def cells_of(image: np.ndarray, mask: np.ndarray | None = None, **facts: object) -> FoundCells:
    return find_cells(image, [replace(NAMED, **facts)], mask, GLASS)


def in_image(region: Region, shape: tuple[int, int]) -> np.ndarray:
    """The region's pixels of the cell, bool (h, w)."""
    whole = np.zeros(shape, bool)
    whole[region.window] = region.mask >= 128
    return whole


def area(region: Region) -> int:
    return int((region.mask >= 128).sum())


def outlined(image: np.ndarray, cover: np.ndarray, thickness: int = 2) -> np.ndarray:
    """The image with the shape's contour drawn in pure red, cropped so that the outline touches every side."""
    contours, _ = cv2.findContours((cover > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    drawn = cv2.drawContours(image.copy(), contours, -1, (255, 0, 0), thickness)
    x, y, w, h = cv2.boundingRect((drawn == (255, 0, 0)).all(2).astype(np.uint8))
    return drawn[y : y + h, x : x + w]


def on_black(image: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """The image cut out on black, cropped to the cut."""
    x, y, w, h = cv2.boundingRect((cover > 0.5).astype(np.uint8))
    return np.where(cover[..., None] > 0.5, image, 0)[y : y + h, x : x + w].astype(np.uint8)


class TestCutOutCrops:
    """Crops of which the file says what is cell: by transparency, or by a mask that fills it."""

    def cut(self, folder: Path, mask: str | None = None) -> CutImage:
        entry = replace(NAMED, path="a.png", mask=mask, method=Method.GIVEN if mask else Method.STAIN)
        return cut_image(ImageJob(root=folder, source="own", entries=(entry,), glass=None, gate=GateSpec()))

    def photographed(self, shape: tuple[int, int] = (140, 150), x: float = 75.0) -> tuple[np.ndarray, np.ndarray]:
        cover = ellipse(shape, 70.2, x, 52, 44, angle=0.3)
        return photograph([(cover, VIOLET)], sigma=0.8, noise=2.0), cover

    @pytest.mark.parametrize("margin", [0, 9])
    @pytest.mark.parametrize("hidden", ["kept", "black"])
    def test_transparency_is_the_mask(self, tmp_path: Path, hidden: str, margin: int) -> None:
        image, cover = self.photographed()
        if hidden == "black":
            image = np.where(cover[..., None] > 0.5, image, 0).astype(np.uint8)
        rgba = np.dstack([image, np.where(cover > 0.5, 255, 0).astype(np.uint8)])
        x, y, w, h = cv2.boundingRect((cover > 0.5).astype(np.uint8))
        Image.fromarray(rgba[y - margin : y + h + margin, x - margin : x + w + margin]).save(tmp_path / "a.png")
        (cell,) = self.cut(tmp_path).cells
        assert cell.reject == ""
        assert cell.measures.area == pytest.approx(np.pi * 50.5 * 42.5, rel=0.02), "but the outermost, blended pixels"

    def test_a_crop_that_its_mask_fills_is_whole_and_one_that_is_cut_is_not(self, tmp_path: Path) -> None:
        image, cover = self.photographed()
        x, y, w, h = cv2.boundingRect((cover > 0.5).astype(np.uint8))
        tight = np.s_[y : y + h, x : x + w]
        for window, reject in ((tight, ""), (np.s_[y : y + h, x + w // 3 : x + w], "cut")):
            Image.fromarray(image[window]).save(tmp_path / "a.png")
            Image.fromarray((cover[window] > 0.5).astype(np.uint8)).save(tmp_path / "m.png")
            (cell,) = self.cut(tmp_path, "m.png").cells
            assert cell.reject == reject
        Image.fromarray(image).save(tmp_path / "a.png")
        Image.fromarray((cover < 0.5).astype(np.uint8) * np.uint8(255)).save(tmp_path / "m.png")
        negative = self.cut(tmp_path, "m.png")
        assert (negative.cells, negative.reason) == ((), "mask_negative")
        assert negative.error.startswith("m.png: what is white in it is the bright surroundings of a hole")
        Image.fromarray(image[:, 75:]).save(tmp_path / "a.png")
        Image.fromarray((cover[:, 75:] > 0.5).astype(np.uint8)).save(tmp_path / "m.png")
        assert [cell.reject for cell in self.cut(tmp_path, "m.png").cells] == ["cut"]


@pytest.mark.parametrize("density", [VIOLET, (0.45, 0.75, 0.3), (1.1, 1.7, 0.8)], ids=["violet", "paler", "darker"])
@pytest.mark.parametrize(
    ("radius", "sigma", "noise"), [(30, 0.8, 2.0), (44.3, 1.5, 1.0), pytest.param(80, 2.0, 3.0, marks=pytest.mark.slow)]
)
def test_every_method_ends_a_cell_half_way(density, radius, sigma, noise):
    shape = (int(2.5 * radius) + 30,) * 2
    place = (shape[0] / 2 + 0.3, shape[1] / 2 - 0.4, 1.1 * radius, 0.9 * radius)
    truth = np.pi * 1.1 * 0.9 * radius**2
    cover = ellipse(shape, *place, angle=0.3)
    image = photograph([(cover, density)], sigma=sigma, noise=noise)
    radii = []
    for error in (-2, 0, 2):
        rough = ellipse(shape, *place[:2], place[2] + error, place[3] + error, angle=0.3) > 0.5
        radii.append(area(cells_of(image, rough.astype(np.uint8), method=Method.GIVEN).regions[0]))
    radii.append(area(cells_of(image).regions[0]))
    wide = ellipse(shape, *place[:2], place[2] + 2.5, place[3] + 2.5, angle=0.3)
    radii.append(area(cells_of(on_black(image, wide), method=Method.BLACK_GROUND, tight=True).regions[0]))
    assert np.array(radii) / truth == pytest.approx(1, abs=0.02)
    repaired = area(cells_of(outlined(image, cover), method=Method.OUTLINE, tight=True).regions[0])
    assert radius_of(repaired) == pytest.approx(radius_of(truth), abs=1)
    assert np.ptp([radius_of(a) for a in [*radii, repaired]]) < 1


@pytest.mark.parametrize("pallor", [0.3, 0.8])
def test_a_pale_middle_belongs_to_the_cell_and_does_not_move_its_edge(pallor):
    shape, radius = (110, 120), 36.4
    cover, middle = disc(shape, 55.2, 60.7, radius), disc(shape, 55.2, 60.7, 14)
    image = photograph([(cover - pallor * middle, RED_CELL)], sigma=1.2)
    found = cells_of(image, class_key="healthy_rbc").regions[0]
    assert area(found) == pytest.approx(np.pi * radius**2, rel=0.02)
    assert in_image(found, shape)[55, 60]


def test_the_soft_edge_is_the_share_of_density():
    shape, radius, sigma = (130, 130), 50.0, 1.5
    cover = disc(shape, 65, 65, radius)
    found = cells_of(photograph([(cover, VIOLET)], sigma=sigma, noise=0)).regions[0]
    expected = cv2.GaussianBlur(cover, (0, 0), sigma)[found.window] * 255
    near = (expected > 40) & (expected < 215)
    assert np.abs(found.mask[near] - expected[near]).max() < 25


def test_a_neighbour_that_touches_is_not_entered():
    shape = (120, 160)
    left, right = disc(shape, 60, 55, 30), disc(shape, 60, 113, 30)
    image = photograph([(np.maximum(left, right), VIOLET)])
    for error in (-2, 0, 2):
        mask = (disc(shape, 60, 55, 30 + error) > 0.5).astype(np.uint8)
        found = in_image(cells_of(image, mask, method=Method.GIVEN).regions[0], shape)
        assert not found[:, 89:].any()
        assert found.sum() == pytest.approx(np.pi * 30**2, rel=0.03)


def test_each_component_of_a_given_mask_is_a_cell_and_specks_are_none():
    shape = (120, 200)
    covers = [disc(shape, 60, 50, 24), disc(shape, 60, 140, 30)]
    image = photograph([(sum(covers), VIOLET)])
    mask = (sum(covers) > 0.5).astype(np.uint8)
    mask[2:5, 2:5] = 255
    found = cells_of(image, mask, method=Method.GIVEN)
    assert [radius_of(area(r)) for r in found.regions] == pytest.approx([30, 24], abs=0.3)
    assert np.abs(np.array(found.glass) - GLASS).max() <= 2


WHITE, NUCLEUS, AROUND = 34.0, 20.0, 19.0
FIELD = (220, 240)


def white_cell(y: float = 110, x: float = 120) -> list:
    """A nucleus in pale cytoplasm."""
    body, nucleus = disc(FIELD, y, x, WHITE), disc(FIELD, y + 4, x - 5, NUCLEUS)
    return [(body - nucleus, CYTOPLASM), (nucleus, VIOLET)]


def red_cell(y: float, x: float) -> list:
    return [(disc(FIELD, y, x, AROUND), RED_CELL)]


def test_the_white_cell_with_its_pale_cytoplasm_and_the_red_cells_around():
    places = [(40, 40), (45, 190), (180, 50), (175, 195)]
    image = photograph([*white_cell(), *(layer for place in places for layer in red_cell(*place))])
    white, *red = cells_of(image, also_red=True).regions
    assert radius_of(area(white)) == pytest.approx(WHITE, abs=0.7)
    assert {r.class_id for r in red} == {HEALTHY_RBC}
    assert [radius_of(area(r)) for r in red] == pytest.approx([AROUND] * 4, abs=0.5)
    covered = sum(in_image(r, FIELD).astype(int) for r in (white, *red))
    assert covered.max() == 1
    assert all(covered[y, x] for y, x in places)
    assert len(cells_of(image).regions) == 1


def test_red_cells_that_touch_the_white_cell_belong_to_nobody():
    image = photograph([*white_cell(), *red_cell(110, 172), *red_cell(40, 40)])
    white, *red = cells_of(image, also_red=True).regions
    assert radius_of(area(white)) == pytest.approx(WHITE, abs=1.5)
    assert not in_image(white, FIELD)[:, 165:].any()
    assert [in_image(r, FIELD)[40, 40] for r in red] == [True]


def test_a_second_white_cell_is_never_chosen():
    image = photograph([*white_cell(), *white_cell(45, 45), *red_cell(180, 60)])
    white, *red = cells_of(image, also_red=True).regions
    assert in_image(white, FIELD)[110, 120]
    assert [in_image(r, FIELD)[180, 60] for r in red] == [True]


def test_a_speck_in_the_middle_is_not_taken_for_the_cell():
    speck = (disc(FIELD, 110, 120, 5), VIOLET)
    found = cells_of(photograph([*white_cell(60, 60), speck, *red_cell(180, 60)])).regions[0]
    assert in_image(found, FIELD)[60, 60]
    assert not in_image(found, FIELD)[110, 120]


def test_a_platelet_on_a_neck_is_no_part_of_a_single_cell_but_of_a_clump():
    body, platelet = disc(FIELD, 110, 110, 30), disc(FIELD, 110, 160, 9)
    neck = np.zeros(FIELD)
    neck[109:112, 138:154] = 1
    image = photograph([(np.maximum.reduce([body, platelet, neck]), VIOLET)], sigma=0.8)
    single = cells_of(image).regions[0]
    clump = cells_of(image, class_key="platelet_clump").regions[0]
    assert radius_of(area(single)) == pytest.approx(30, abs=0.7)
    assert in_image(clump, FIELD)[110, 160]
    assert not in_image(single, FIELD)[110, 150:].any()


def test_boxes_choose_among_many_and_the_largest_does_not_win():
    platelets = [(60, 180), (150, 205)]
    image = photograph([*white_cell(), *((disc(FIELD, y, x, 10), VIOLET) for y, x in platelets), *red_cell(45, 45)])
    boxes = [(x - 12, y - 12, 24, 24) for y, x in platelets]
    entries = [replace(NAMED, class_key="thrombocyte", box=box) for box in boxes]
    entries.append(replace(NAMED, box=(80, 70, 80, 80)))
    entries.append(replace(NAMED, class_key="healthy_rbc", box=(25, 25, 40, 40)))
    found = find_cells(image, entries, None, None).regions
    places = [*platelets, (110, 120), (45, 45)]
    assert all(in_image(r, FIELD)[place] for r, place in zip(found, places, strict=True))
    assert [radius_of(area(r)) for r in found] == pytest.approx([10, 10, WHITE, AROUND], abs=0.9)
    alone = [find_cells(image, [entry], None, None).regions[0] for entry in entries]
    assert all((a.mask == b.mask).all() and a.window == b.window for a, b in zip(alone, found, strict=True))


def test_a_box_beside_every_cell_gives_no_cell_of_that_class():
    image = photograph(white_cell())
    found = cells_of(image, class_key="thrombocyte", box=(2, 2, 20, 20)).regions[0]
    assert area(found) == 0


def test_an_outline_is_repaired_and_its_inside_found():
    shape, radius = (150, 150), 50
    cover = disc(shape, 75, 75, radius)
    image = photograph([(cover, VIOLET)])
    drawn = outlined(image, cover, thickness=3)
    repaired, inside = repair_outline(drawn)
    excess = repaired[..., 0].astype(int) - repaired[..., 1:].max(2)
    assert excess.max() <= (image[..., 0].astype(int) - image[..., 1:].max(2)).max() + 12
    assert radius_of(inside.sum()) == pytest.approx(radius, abs=3)
    kept = ~cv2.dilate((drawn == (255, 0, 0)).all(2).astype(np.uint8), np.ones((5, 5))).astype(bool)
    assert (repaired == drawn)[kept].all()


@pytest.mark.parametrize("gap", [3, 10, 24])
def test_an_outline_that_paint_lies_over_still_closes(gap):
    shape = (170, 170)
    image = photograph([(disc(shape, 85, 85, 60), VIOLET)])
    drawn = cv2.circle(image.copy(), (85, 85), 60, (255, 0, 0), 2)
    drawn[25 - 6 : 25 + 6, 85 : 85 + gap] = 0
    _, inside = repair_outline(drawn)
    assert radius_of(inside.sum()) == pytest.approx(60, abs=4)


def test_an_outline_that_stays_open_gives_no_cell():
    image = photograph([(disc((150, 150), 75, 75, 50), VIOLET)])
    drawn = cv2.ellipse(image.copy(), (75, 75), (50, 50), 0, 0, 200, (255, 0, 0), 2)
    assert area(cells_of(drawn, method=Method.OUTLINE).regions[0]) == 0
    assert area(cells_of(image, method=Method.OUTLINE).regions[0]) == 0


def test_no_black_lies_in_the_mask_of_a_crop_cut_on_black_ground():
    shape = (150, 150)
    image = photograph([(disc(shape, 75, 75, 55), RED_CELL)])
    coarse = cv2.resize((disc((30, 30), 15, 15, 11.3) > 0.5).astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST)
    cut = on_black(image, coarse.astype(float))
    for crop in (cut, cv2.GaussianBlur(cut, (0, 0), 0.5)):
        found = cells_of(crop, class_key="healthy_rbc", method=Method.BLACK_GROUND)
        region = found.regions[0]
        darkest = found.image[region.window][region.mask > 0].max(1).min()
        assert darkest > 0.85 * image.max(2).min()
        assert not found.glass_measured


def naive_fill(mask: np.ndarray) -> np.ndarray:
    ground = np.pad(~mask, 1, constant_values=True)
    seen, todo = np.zeros_like(ground), [(0, 0)]
    while todo:
        y, x = todo.pop()
        if 0 <= y < ground.shape[0] and 0 <= x < ground.shape[1] and ground[y, x] and not seen[y, x]:
            seen[y, x] = True
            todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return ~seen[1:-1, 1:-1]


@settings(max_examples=40, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_holes_and_components_agree_with_a_flood_pixel_by_pixel(mask):
    assert (fill_holes(mask) == naive_fill(mask)).all()
    seed = np.zeros_like(mask)
    seed[0, 0] = True
    if mask[0, 0]:
        assert (components_with(mask, seed) == ~naive_fill_from(mask)).all()
    else:
        assert not components_with(mask, seed).any()


def naive_fill_from(mask: np.ndarray) -> np.ndarray:
    """Everything but the part of the mask that its first pixel is joined to."""
    seen, todo = np.zeros_like(mask), [(0, 0)]
    while todo:
        y, x = todo.pop()
        if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not seen[y, x]:
            seen[y, x] = True
            todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return ~seen


@given(*[st.integers(-30, 60)] * 2, *[st.integers(1, 40)] * 2, st.integers(0, 20), *[st.integers(1, 30)] * 2)
def test_a_window_is_the_grown_box_inside_the_image_and_never_empty(x, y, w, h, margin, rows, columns):
    grown = np.zeros((200, 200), bool)
    grown[100 + y - margin : 100 + y + h + margin, 100 + x - margin : 100 + x + w + margin] = True
    inside = np.zeros((rows, columns), bool)
    inside[box_window(x, y, w, h, margin, (rows, columns))] = True
    expected = grown[100 : 100 + rows, 100 : 100 + columns]
    assert (inside == expected).all() if expected.any() else inside.sum() >= 1


def hostile_images(shape: tuple[int, int]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    plain = {name: np.full((*shape, 3), v, np.uint8) for name, v in (("black", 0), ("white", 255), ("grey", 128))}
    pixel, huge, red = plain["white"].copy(), plain["white"].copy(), plain["grey"].copy()
    pixel[shape[0] // 2, shape[1] // 2] = (60, 0, 90)
    huge[1:-1, 1:-1] = (100, 20, 120)
    red[:] = (255, 0, 0)
    noise = random.integers(0, 256, (*shape, 3), np.uint8)
    return plain | {
        "pixel": pixel,
        "huge": huge,
        "red": red,
        "noise": noise,
        "two levels": (noise > 127) * np.uint8(255),
    }


@pytest.mark.parametrize("shape", [(8, 8), (9, 40), (70, 60)])
@pytest.mark.parametrize("also_red", [False, True])
def test_hostile_images_give_regions_and_no_warning(shape, also_red):
    h, w = shape
    full, one = np.full(shape, 255, np.uint8), np.zeros(shape, np.uint8)
    one[h // 2, w // 2] = 255
    boxes = [None, (0, 0, 1, 1), (w - 1, h - 1, 1, 1), (0, 0, w, h), (w + 5, h + 5, 3, 3), (-9, -9, 2, 2)]
    classes = ("neutrophil", "platelet_clump", "infected_rbc")
    jobs = [{"class_key": key, "box": box, "also_red": also_red} for key in classes for box in boxes]
    jobs += [{"method": Method.OUTLINE}, {"method": Method.BLACK_GROUND}]
    jobs += [{"method": Method.GIVEN, "mask": mask} for mask in (full, one, full - one)]
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        for image in hostile_images(shape).values():
            for job in jobs:
                for region in cells_of(image, **job).regions:
                    assert region.mask.shape == full[region.window].shape
