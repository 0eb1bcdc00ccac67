"""Real images: what is read, at which scale, and what of a mask counts."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from smearsynth.base.errors import UserError
from smearsynth.fields.field_folder import boxed, distance_to, read_boxes, read_field_mask, read_fields, read_image
from smearsynth.fields.otsu import cells_and_nuclei, otsu_cells
from smearsynth.fields.scale import RED_CELL_UM, Scale, estimate, to_native, to_scale

GLASS, STAIN = 230, 120


def smear(radius: int, *, cells: int = 12, dust: int = 0, clump: bool = False, size: int = 600) -> np.ndarray:
    """u1 (size, size, 3): separate discs on a grid, specks of dust, and by choice a row of touching discs."""
    image = np.full((size, size, 3), GLASS, np.uint8)
    pitch = size // 4
    for i in range(cells):
        centre = (pitch // 2 + pitch * (i % 4), pitch // 2 + pitch * (i // 4))
        cv2.circle(image, centre, radius, (STAIN,) * 3, -1)
    for i in range(dust):
        cv2.circle(image, (20 + 13 * i, size - 20), 3, (STAIN,) * 3, -1)
    if clump:
        for x in range(pitch, size - pitch, int(1.7 * radius)):
            cv2.circle(image, (x, size - pitch // 2), radius, (STAIN,) * 3, -1)
    return image


@pytest.mark.parametrize("radius", [12, 25, 40])
def test_auto_finds_the_scale_by_which_a_red_cell_has_its_size(radius: int) -> None:
    found = estimate(smear(radius, dust=30, clump=True), "smear.png")
    assert found * 2 * radius == pytest.approx(RED_CELL_UM, rel=0.03)


def test_auto_refuses_an_image_of_too_few_cells() -> None:
    with pytest.raises(UserError, match=r"lone\.png.*4 single red cells.*\(um_per_px\)"):
        estimate(smear(25, cells=4), "lone.png")


def test_auto_refuses_an_image_without_any() -> None:
    with pytest.raises(UserError, match="0 single red cells"):
        estimate(np.full((64, 64, 3), GLASS, np.uint8), "empty.png")


@pytest.mark.parametrize("um_per_px", [0.069, 0.2, 0.31])
def test_there_and_back_a_mask_keeps_its_area(um_per_px: float) -> None:
    cells = otsu_cells(smear(34))
    there = to_scale(np.repeat(cells[..., None].astype(np.uint8) * 255, 3, 2), um_per_px)
    assert there.shape[0] == round(600 * um_per_px / 0.2)
    back = to_native(there[..., 0].astype(np.float32) / 255, cells.shape) >= 0.5
    assert back.shape == cells.shape
    assert back.sum() == pytest.approx(cells.sum(), rel=0.01)
    assert 2 * (back & cells).sum() / (back.sum() + cells.sum()) > 0.99


def test_scale_comes_from_a_number_a_table_by_name_or_stem(tmp_path: Path) -> None:
    image = smear(25)
    table = tmp_path / "scales.csv"
    table.write_text("file,um_per_px\na.png,0.07\nb,0.09\n", encoding="utf-8")
    assert Scale("0.1").of(Path("a.png"), image) == 0.1
    assert Scale(str(table)).of(Path("x/a.png"), image) == 0.07
    assert Scale(str(table)).of(Path("x/b.jpg"), image) == 0.09
    assert Scale("auto").of(Path("a.png"), image) == estimate(image, "a.png")
    with pytest.raises(UserError, match=r"scales\.csv: no row for c\.png"):
        Scale(str(table)).of(Path("c.png"), image)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("a,0.1\nb\n", "line 2"), ("a,0.1\nb,wide\n", "line 2"), ("a,7\n", "line 1: 7 um/px is outside")],
)
def test_a_broken_table_names_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    table = tmp_path / "scales.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=sentence):
        Scale(str(table))


@pytest.mark.parametrize("spec", ["0", "-0.1", "nan", "70", "no-such-file.csv"])
def test_a_scale_that_is_none_is_refused_at_once(spec: str) -> None:
    with pytest.raises(
        UserError,
        match=r"^The scale(: (0|-0\.1|nan|70) um/px is outside| no-such-file\.csv: give).* \(um_per_px\)$",
    ):
        Scale(spec)


def test_images_with_too_few_cells_take_the_scale_of_all_together(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.png" for name in "abc"]
    for file, radius, cells in zip(files, (30, 20, 20), (12, 3, 4), strict=True):
        Image.fromarray(smear(radius, cells=cells)).save(file)
    many, *few = Scale("auto").of_folder(files)
    assert many == estimate(smear(30), "a.png")
    assert few == [pytest.approx(RED_CELL_UM / 60, rel=0.03)] * 2
    assert Scale("auto").of_folder(files[:1]) == [many]
    assert Scale("0.1").of_folder(files) == [0.1] * 3
    with pytest.raises(UserError, match=r"c\.png.*4 single red cells"):
        Scale("auto").of_folder(files[2:])


def test_what_a_file_states_goes_before_its_red_cells_and_not_before_a_number(tmp_path: Path) -> None:
    stated, printed = (tmp_path / name for name in ("stated.tif", "printed.tif"))
    for file, per_cm in ((stated, 1e4 / 0.11), (printed, 72 / 2.54)):
        tifffile.imwrite(file, smear(30), resolution=(per_cm, per_cm), resolutionunit="CENTIMETER")
    found = [pytest.approx(0.11), estimate(smear(30), "printed.tif")]
    assert Scale("auto").of_folder([stated, printed]) == found
    assert [Scale("auto").of(file, smear(30)) for file in (stated, printed)] == found
    assert Scale("0.1").of_folder([stated, printed]) == [0.1, 0.1]


def test_distances_are_exactly_rounded_wherever_a_mask_lies_in_memory() -> None:
    mask = np.random.default_rng(0).random((57, 61)) < 0.01
    places = np.stack(np.nonzero(mask), axis=1)
    y, x = np.indices(mask.shape)
    squares = ((y[..., None] - places[:, 0]) ** 2 + (x[..., None] - places[:, 1]) ** 2).min(axis=2)
    due = np.sqrt(squares.astype(np.float64)).astype(np.float32)
    for offset in range(16):
        there = np.zeros(mask.size + 64, bool)[offset : offset + mask.size].reshape(mask.shape)
        there[...] = mask
        np.testing.assert_array_equal(distance_to(there), due)
    assert np.isinf(distance_to(np.zeros((2, 2), bool))).all()


def test_dark_nuclei_do_not_hide_the_red_cells() -> None:
    red = smear(40)
    nuclei = red.copy()
    nuclei[red == STAIN] = 190
    for x in (75, 225):
        cv2.circle(nuclei, (x, 525), 60, (60, 20, 80), -1)
    assert otsu_cells(nuclei)[:450].sum() == 0
    assert np.array_equal(cells_and_nuclei(nuclei)[:450], otsu_cells(red)[:450])
    assert estimate(nuclei, "x") == pytest.approx(RED_CELL_UM / 80, rel=0.03)


def test_rims_are_not_taken_for_cells_that_otsu_missed() -> None:
    blurred = cv2.GaussianBlur(smear(30), (0, 0), 4)
    assert np.array_equal(cells_and_nuclei(blurred), otsu_cells(blurred))


@pytest.mark.parametrize("grain", [2, 5, 10])
@pytest.mark.parametrize("slope", [0, 30])
def test_neither_grain_nor_a_slope_of_the_light_is_taken_for_cells(grain: int, slope: int) -> None:
    rng = np.random.default_rng(grain)
    light = np.linspace(-slope / 2, slope / 2, 600)[:, None, None] + rng.normal(0, grain, (600, 600, 3))
    image = np.clip(smear(15, cells=8) - 20 + light, 0, 255).astype(np.uint8)
    assert cells_and_nuclei(image).mean() == pytest.approx(8 * np.pi * 15**2 / 600**2, rel=0.1)
    assert estimate(image, "x") == pytest.approx(RED_CELL_UM / 30, rel=0.03)


def test_otsu_fills_the_pale_middle_of_a_cell() -> None:
    image = smear(40)
    cv2.circle(image, (75, 75), 15, (GLASS,) * 3, -1)
    assert np.array_equal(otsu_cells(image), smear(40)[..., 0] == STAIN)


def test_components_without_a_box_are_ignored_and_all_else_counts() -> None:
    cells = np.zeros((20, 40), bool)
    cells[2:8, 2:8] = cells[2:8, 20:26] = cells[12:18, 2:8] = True
    # A box over a cell and a corner of its neighbour speaks of the cell alone.
    counted = boxed(cells, np.array([[1, 1, 9, 13], [30, 10, 35, 15]]))
    ignored = np.zeros_like(cells)
    ignored[2:8, 20:26] = ignored[12:18, 2:8] = True
    assert np.array_equal(counted[cells], ~ignored[cells])


def test_the_rim_of_an_ignored_cell_is_ignored_where_no_other_cell_is_nearer() -> None:
    cells = np.zeros((100, 300), bool)
    cells[30:70, 30:70] = cells[30:70, 76:116] = cells[30:70, 200:240] = True
    counted = boxed(cells, np.array([[28, 28, 72, 72]]))
    # A tenth of the box is 4.4 px; the gap of 6 px between the first two is shared evenly.
    assert np.flatnonzero(~counted[50]).tolist() == [*range(73, 120), *range(196, 244)]
    assert np.flatnonzero(~counted[:, 220]).tolist() == [*range(26, 74)]


def test_no_box_leaves_only_glass_to_count() -> None:
    cells = np.eye(8, dtype=bool)
    assert np.array_equal(boxed(cells, np.zeros((0, 4), np.int64)), ~cells)


def test_boxes_are_shares_of_the_image(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("0 0.5 0.5 0.5 0.2\n3 0.0 0.0 0.2 0.2\n", encoding="utf-8")
    assert read_boxes(file, (100, 200)).tolist() == [[0, 50, 40, 150, 60], [3, 0, 0, 20, 10]]
    for fault in ("0 0.5 0.5\n", "0 0.5 nan 0.5 0.2\n", "0 0.5 0.5 inf 0.2\n"):
        file.write_text(fault, encoding="utf-8")
        with pytest.raises(UserError, match=r"a\.txt"):
            read_boxes(file, (100, 200))


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_folder_is_read_by_name_with_its_masks(tmp_path: Path) -> None:
    image = smear(25)
    cells = otsu_cells(image)
    for name in ("b.png", "a.bmp", ".hidden.png"):
        write(tmp_path / "img" / name, image)
    write(tmp_path / "mask" / "a.png", cells.astype(np.uint8))
    write(tmp_path / "mask" / "b.png", np.repeat(cells[..., None] * np.uint8(255), 3, 2))
    fields = list(read_fields(tmp_path))
    assert [f.path.name for f in fields] == ["a.bmp", "b.png"]
    for field in fields:
        assert np.array_equal(field.image, image)
        assert np.array_equal(field.cells, cells)
        assert field.counted.all()


def test_folders_in_a_folder_of_fields_and_those_that_are_linked_are_read(tmp_path: Path) -> None:
    image, folder = smear(25), tmp_path / "fields"
    cells = otsu_cells(image).astype(np.uint8)
    for name in ("img/a/1", "img/b/1", "mask/a/1", "mask/b/1", "mask/c/2"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / f"{name}.png", image if name.startswith("img") else cells)
    write(tmp_path / "disk/2.png", image)
    (folder / "img/c").symlink_to(tmp_path / "disk")
    assert [field.name for field in read_fields(folder)] == ["a/1.png", "b/1.png", "c/2.png"]


def test_a_mask_that_is_upside_down_is_refused(tmp_path: Path) -> None:
    image = smear(25)
    write(tmp_path / "img/a.png", image)
    write(tmp_path / "mask/a.png", (~otsu_cells(image)).astype(np.uint8) * np.uint8(255))
    with pytest.raises(UserError, match=r"mask/a\.png: what is white in this mask is the brighter part.*invert it"):
        list(read_fields(tmp_path))


def test_what_is_missing_in_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="img/ and mask/"):
        read_fields(tmp_path)
    (tmp_path / "mask").mkdir()
    (tmp_path / "img").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        read_fields(tmp_path)
    write(tmp_path / "img" / "a.png", smear(25))
    with pytest.raises(UserError, match=r"no mask for a\.png"):
        read_fields(tmp_path)
    write(tmp_path / "mask" / "a.png", np.zeros((30, 40), np.uint8))
    with pytest.raises(UserError, match=r"a\.png: the mask is 40x30, its image 600x600"):
        list(read_fields(tmp_path))


@pytest.mark.parametrize("kind", ["u1 instances", "u2 instances", "u2 of many", "three levels"])
def test_a_mask_that_is_not_black_and_white_is_refused(tmp_path: Path, kind: str) -> None:
    """Cut at half of its range, a map of instances would lose half of its cells, or all of them."""
    cells = np.zeros((40, 60), np.uint16)
    for number in range(1, 6):
        cells[5:35, 10 * number : 10 * number + 8] = number
    masks = {
        "u1 instances": cells.astype(np.uint8),
        "u2 instances": 9 * cells,
        "three levels": (cells.clip(max=2) * 127).astype(np.uint8),
        "u2 of many": 60 * cells,
    }
    write(tmp_path / "mask.png", masks[kind])
    with pytest.raises(UserError, match=r"mask\.png: the mask is not black and white"):
        read_field_mask(tmp_path / "mask.png", cells.shape)


def test_a_mask_may_be_soft_at_its_edges_or_empty(tmp_path: Path) -> None:
    cells = otsu_cells(smear(25))
    blurred = Image.fromarray(cells.astype(np.uint8) * np.uint8(255))
    blurred.save(tmp_path / "mask.jpg", quality=90)
    assert np.mean(read_field_mask(tmp_path / "mask.jpg", cells.shape) != cells) < 0.001
    write(tmp_path / "none.png", np.zeros((40, 60), np.uint8))
    assert not read_field_mask(tmp_path / "none.png", (40, 60)).any()


def test_images_of_every_kind_come_as_rgb(tmp_path: Path) -> None:
    grey = 4 * np.arange(64, dtype=np.uint8).reshape(8, 8)
    write(tmp_path / "grey.png", grey)
    write(tmp_path / "deep.png", grey.astype(np.uint16) * 257)
    for name in ("grey.png", "deep.png"):
        assert np.array_equal(read_image(tmp_path / name), np.repeat(grey[..., None], 3, 2))
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    with pytest.raises(UserError, match=r"text\.png: cannot be read"):
        read_image(tmp_path / "text.png")
    write(tmp_path / "mask.png", (grey > 10).astype(np.uint8))
    assert np.array_equal(read_field_mask(tmp_path / "mask.png", (8, 8)), grey > 10)
    write(tmp_path / "mask.png", (grey > 10).astype(np.uint16))
    assert np.array_equal(read_field_mask(tmp_path / "mask.png", (8, 8)), grey > 10)


def test_what_is_transparent_in_a_mask_is_no_cell(tmp_path: Path) -> None:
    cell = np.zeros((20, 30), bool)
    cell[4:9, 6:20] = True
    write(tmp_path / "mask.png", np.dstack([np.full((20, 30, 3), 255, np.uint8), np.where(cell, 255, 0)]).astype("u1"))
    assert np.array_equal(read_field_mask(tmp_path / "mask.png", (20, 30)), cell)
