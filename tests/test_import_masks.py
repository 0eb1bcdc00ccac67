"""Masks to labels: every form of file, and no pixel that is silently of another class."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_folders import COLOURS, Pixels, as_file, save
from PIL import Image

from segtrain.importing.colour_masks import ColourReader
from segtrain.importing.mask_reading import LevelReader, ValueReader, thin_between
from segtrain.importing.palettes import Palette, read_palette
from smearsynth.base.errors import UserError
from smearsynth.base.images import MaskPixels, decode_mask
from smearsynth.fields.field_folder import contrast_of_cells
from smearsynth.taxonomy import CLASSES

REFERENCE, IDS = ColourReader(read_palette("reference")), ValueReader(read_palette("ids"))
THREE = """\
classes:
  - {key: background, colours: ["#000000"]}
  - {key: nucleus, colours: ["#ff0000", "#c80000"]}
  - {key: cytoplasm, colours: ["#0000ff"]}
ignore_colours: ["#808080"]
"""


def crowd(seed: int, *, fine: int = 1) -> Pixels:
    """u1 (300 * fine, 400 * fine): overlapping discs of all classes, radius 8 to 40 px times `fine`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: 300 * fine, : 400 * fine]
    label = np.zeros(y.shape, np.uint8)
    for _ in range(24):
        cy, cx, radius = rng.uniform(0, 300) * fine, rng.uniform(0, 400) * fine, rng.uniform(8, 40) * fine
        label[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.integers(1, 10)
    return label


def palette(tmp_path: Path, text: str) -> Palette:
    (tmp_path / "palette.yaml").write_text(text)
    return read_palette(str(tmp_path / "palette.yaml"))


def aliens(label: Pixels, truth: Pixels) -> int:
    """Pixels of a class that the truth does not have within two pixels."""
    found = np.zeros(label.shape, bool)
    for number in range(10):
        near = cv2.dilate((truth == number).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        found |= (label == number) & ~near
    return int(found.sum())


class TestColours:
    @given(st.integers(0, 2**32 - 1))
    def test_ids_to_colours_and_back_are_the_ids(self, seed: int) -> None:
        label = np.random.default_rng(seed).integers(0, 10, (9, 13)).astype(np.uint8)
        read = REFERENCE.read(as_file(COLOURS[label]))
        assert (read.label == label).all()
        assert (read.near, read.errors) == (0, ())

    @pytest.mark.parametrize(
        ("colour", "number"),
        [((255, 225, 0), 6), ((255, 255, 0), 6), ((250, 190, 190), 3), ((251, 190, 190), 3)],
    )
    def test_both_spellings_of_the_reference_study_are_one_class(
        self, colour: tuple[int, int, int], number: int
    ) -> None:
        pixels = np.zeros((20, 20, 3), np.uint8)
        pixels[5:15, 5:15] = colour
        read = REFERENCE.read(as_file(pixels))
        assert (read.label[5:15, 5:15] == number).all()
        assert (read.label == 0).sum() == 300
        assert not read.errors

    @pytest.mark.parametrize("quality", [95, 75, 50])
    @pytest.mark.parametrize("as_png", [False, True])
    def test_after_jpeg_no_pixel_has_a_class_that_is_not_there(self, quality: int, as_png: bool) -> None:
        truth = crowd(1)
        mask = as_file(COLOURS[truth], "JPEG", quality=quality)
        read = REFERENCE.read(as_file(mask.colour) if as_png else mask)
        assert not read.errors
        assert aliens(read.label, truth) == 0
        assert (read.label == 255).mean() < 0.07
        assert (read.label == truth)[read.label != 255].mean() > 0.9999
        assert read.near > 1000

    def test_edges_that_are_blended_are_ignored_and_make_no_third_class(self) -> None:
        fine = crowd(2, fine=4)
        truth = fine[2::4, 2::4]
        blended = cv2.resize(COLOURS[fine], (400, 300), interpolation=cv2.INTER_AREA)
        read = REFERENCE.read(as_file(blended))
        assert not read.errors
        assert aliens(read.label, truth) == 0
        inside = (blended == COLOURS[truth]).all(axis=2)
        kept = read.label[inside] == truth[inside]
        assert kept.mean() > 0.99
        assert (read.label == 255).sum() < 1.5 * (~inside).sum()

    @pytest.mark.parametrize(
        ("one", "other", "between"),
        [("#00ffff", "#000000", "#008080"), ("#ff0000", "#00ff00", "#808000"), ("#ffff00", "#000000", "#808000")],
    )
    def test_half_way_between_two_classes_lies_the_colour_of_a_third(self, one: str, other: str, between: str) -> None:
        rgb = [np.array(list(bytes.fromhex(c[1:])), float) for c in (one, other)]
        share = np.clip((np.arange(60) - 27) / 6, 0, 1)[None, :, None]
        pixels = np.repeat(np.rint(rgb[0] * (1 - share) + rgb[1] * share).astype(np.uint8), 40, axis=0)
        third = list(bytes.fromhex(between[1:]))
        assert (np.abs(pixels.astype(int) - third).max(axis=2) <= 1).any()
        read = REFERENCE.read(as_file(pixels))
        keys = {tuple(c): i for i, c in enumerate(COLOURS.tolist())}
        due = {keys[tuple(bytes.fromhex(c[1:]))] for c in (one, other)}
        assert set(np.unique(read.label)) == due | {255}

    @pytest.mark.parametrize("side", [1, 5, 12])
    def test_a_colour_that_the_palette_lacks_is_named_with_count_and_place(self, side: int) -> None:
        pixels = COLOURS[crowd(3)]
        pixels[100 : 100 + side, 50 : 50 + side] = (12, 200, 99)
        (error,) = REFERENCE.read(as_file(pixels)).errors
        assert f"with {side * side:,} pixels" in error
        assert "#0cc863 (at x=50, y=100)" in error

    def test_a_strange_area_is_found_behind_jpeg_too(self) -> None:
        pixels = COLOURS[crowd(3)]
        pixels[100:130, 50:80] = (120, 60, 200)
        (error,) = REFERENCE.read(as_file(pixels, "JPEG", quality=75)).errors
        assert "the palette lacks" in error

    def test_an_area_painted_in_a_near_colour_is_a_colour_of_its_own(self) -> None:
        pixels = COLOURS[crowd(3)]
        pixels[100:120, 50:70] = (254, 0, 0)
        (error,) = REFERENCE.read(as_file(pixels)).errors
        assert "#fe0000" in error

    @pytest.mark.parametrize("channels", [1, 3])
    def test_class_ids_are_not_taken_for_black(self, channels: int) -> None:
        label = crowd(3)
        mask = as_file(label if channels == 1 else np.repeat(label[..., None], 3, axis=2))
        (error,) = REFERENCE.read(mask).errors
        assert "name the palette ids" in error

    def test_colours_written_blue_first_are_recognised(self) -> None:
        pixels = np.zeros((30, 30, 3), np.uint8)
        pixels[5:25, 5:25] = (190, 190, 251)
        (error,) = REFERENCE.read(as_file(pixels)).errors
        assert "red and blue exchanged" in error

    def test_what_is_transparent_is_background_and_what_is_half_so_is_ignored(self) -> None:
        pixels = np.zeros((20, 20, 4), np.uint8)
        pixels[..., 3] = 255
        pixels[2:10, 2:10] = (0, 255, 0, 255)
        pixels[12:18, 2:10] = (0, 255, 0, 128)
        pixels[2:18, 12:18] = (77, 88, 99, 0)
        read = REFERENCE.read(as_file(pixels))
        assert not read.errors
        assert (read.label[2:10, 2:10] == 9).all()
        assert (read.label[12:18, 2:10] == 255).all()
        assert (read.label[2:18, 12:18] == 0).all()

    def test_a_file_with_a_palette_is_read_by_its_colours(self) -> None:
        label = crowd(4)
        image = Image.fromarray(np.array([3, 2, 1, 0, 4, 5, 6, 7, 8, 9], np.uint8)[label])
        order = [3, 2, 1, 0, 4, 5, 6, 7, 8, 9]
        image.putpalette(COLOURS[order].tobytes())
        for kind in ("PNG", "GIF", "BMP", "TIFF"):
            assert (REFERENCE.read(as_file(image, kind)).label == label).all(), kind

    def test_a_palette_of_ones_own_with_ignored_colours(self, tmp_path: Path) -> None:
        reader = ColourReader(palette(tmp_path, THREE))
        pixels = np.zeros((20, 40, 3), np.uint8)
        pixels[:, 10:20], pixels[:, 20:30], pixels[:, 30:] = (200, 0, 0), (0, 0, 255), (128, 128, 128)
        read = reader.read(as_file(pixels))
        assert [read.label[0, x] for x in (0, 10, 20, 30)] == [0, 1, 2, 255]
        assert not read.errors


def test_thin_between_is_what_a_naive_loop_finds() -> None:
    label = np.random.default_rng(0).choice([0, 3, 5], (24, 30), p=[0.5, 0.3, 0.2]).astype(np.uint8)
    label = cv2.medianBlur(label, 5)
    known = np.ones(label.shape, bool)
    padded = np.pad(label.astype(int), 1, constant_values=-1)
    thick = np.zeros(label.shape, bool)
    for y in range(24):
        for x in range(30):
            if (padded[y : y + 3, x : x + 3] == label[y, x]).all():
                thick[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = True
    naive = np.zeros(label.shape, bool)
    for y in range(24):
        for x in range(30):
            near = len(np.unique(label[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4]))
            outside = y in (0, 23) or x in (0, 29)
            naive[y, x] = not thick[y, x] and near + outside > 2
    assert naive.any()
    assert (thin_between(label, known, 1) == naive).all()


class TestValues:
    @pytest.mark.parametrize("kind", ["uint8", "uint16", "three channels", "palette"])
    def test_ids_are_read_as_they_are(self, kind: str) -> None:
        label = np.where(np.arange(1200).reshape(30, 40) % 7 == 0, 255, crowd(5)[:30, :40]).astype(np.uint8)
        if kind == "palette":
            image = Image.fromarray(label)
            image.putpalette(np.arange(256, dtype=np.uint8).repeat(3).tobytes())
            mask = as_file(image)
            assert mask.palette is not None
        elif kind == "three channels":
            mask = as_file(np.repeat(label[..., None], 3, axis=2))
        else:
            mask = as_file(label.astype(kind))
        read = IDS.read(mask)
        assert not read.errors
        assert (read.label == label).all()

    def test_a_value_that_is_no_class_is_named_with_count_and_place(self) -> None:
        label = crowd(5)
        label[7, 9] = 11
        (error,) = IDS.read(as_file(label)).errors
        assert error.startswith("1 pixels have 1 values that are no class, most of them 11 (at x=9, y=7)")

    def test_lossy_formats_and_colours_are_refused(self) -> None:
        for kind, options in (("JPEG", {}), ("WEBP", {"quality": 90}), ("TIFF", {"compression": "tiff_jpeg"})):
            assert "compression that changes class ids" in IDS.read(as_file(crowd(5), kind, **options)).errors[0]
        assert not IDS.read(as_file(crowd(5), "TIFF", compression="tiff_lzw")).errors
        assert "colours" in IDS.read(as_file(COLOURS[crowd(5)])).errors[0]

    def test_a_palette_in_the_files_that_is_in_the_wrong_order(self) -> None:
        image = Image.fromarray(crowd(6))
        image.putpalette(COLOURS[[0, 2, 1, 3, 4, 5, 6, 7, 8, 9]].tobytes())
        (error,) = IDS.read(as_file(image)).errors
        assert "wrong order: number 1, which is eosinophil, has the colour #008080 of basophil" in error
        image.putpalette(COLOURS.tobytes())
        assert not IDS.read(as_file(image)).errors

    def test_16_bit_values_of_a_file_of_ones_own(self, tmp_path: Path) -> None:
        text = "classes: [{key: background, values: [0]}, {key: cell, values: [1000, 65535]}]\nignore_values: [7]\n"
        reader = ValueReader(palette(tmp_path, text))
        value = np.array([[0, 1000], [65535, 7]], np.uint16).repeat(8, axis=0).repeat(8, axis=1)
        read = reader.read(as_file(value))
        assert read.label[::8, ::8].tolist() == [[0, 1], [1, 255]]

    def test_interpolation_between_ids_shows(self) -> None:
        label = crowd(7)
        assert not IDS.read(as_file(label)).interpolated
        for way in (cv2.INTER_LINEAR, cv2.INTER_AREA):
            assert IDS.read(as_file(cv2.resize(label, (333, 222), interpolation=way))).interpolated


class TestLevels:
    WHITE, BLACK = LevelReader("white"), LevelReader("black")
    TRUTH = (crowd(8) > 0).astype(np.uint8)

    def forms(self) -> dict[str, MaskPixels]:
        t = self.TRUTH
        two = Image.fromarray(t)
        two.putpalette(bytes([0, 0, 0, 255, 255, 255]))
        back = Image.fromarray(1 - t)
        back.putpalette(bytes([255, 255, 255, 0, 0, 0]))
        return {
            "0 and 255": as_file(t * np.uint8(255)),
            "0 and 1": as_file(t),
            "1 bit": as_file(t.astype(bool)),
            "16 bits": as_file(t.astype(np.uint16) * 65_535),
            "16 bits, 0 and 1": as_file(t.astype(np.uint16)),
            "three channels": as_file(np.repeat(t[..., None] * np.uint8(255), 3, axis=2)),
            "four channels": as_file(np.dstack([t * np.uint8(255)] * 3 + [np.full_like(t, 255)])),
            "palette": as_file(two),
            "palette, white first": as_file(back),
            "grey and opacity": as_file(Image.merge("LA", [Image.fromarray(t * np.uint8(255))] * 2)),
        }

    def test_every_kind_of_file_gives_the_same(self) -> None:
        for name, mask in self.forms().items():
            read = self.WHITE.read(mask)
            assert not read.errors, name
            assert (read.label == self.TRUTH).all(), name

    def test_black_cells(self) -> None:
        for kind, options in (("PNG", {}), ("JPEG", {"quality": 90})):
            read = self.BLACK.read(as_file((1 - self.TRUTH) * np.uint8(255), kind, **options))
            assert not read.errors
            assert (read.label == self.TRUTH)[read.label != 255].all()

    def test_what_is_transparent_is_background_whatever_the_polarity(self) -> None:
        pixels = np.zeros((20, 20, 2), np.uint8)
        pixels[:10, :10] = (0, 255)
        pixels[10:, :] = (255, 255)
        read = self.BLACK.read(as_file(Image.fromarray(pixels, "LA")))
        assert (read.label[:10, :10] == 1).all()
        assert read.label.sum() == 100

    def test_jpeg_and_soft_edges_become_ignored_pixels(self) -> None:
        hard = self.TRUTH * np.uint8(255)
        soft = cv2.GaussianBlur(hard, (0, 0), 1.0)
        for mask in (as_file(hard, "JPEG", quality=60), as_file(soft)):
            read = self.WHITE.read(mask)
            assert not read.errors
            assert (read.label == self.TRUTH)[read.label != 255].mean() > 0.9999
            assert 0 < (read.label == 255).mean() < 0.05

    def test_an_all_black_jpeg_holds_no_cell(self) -> None:
        assert not self.WHITE.read(as_file(np.full((40, 40), 3, np.uint8), "JPEG")).label.any()

    @pytest.mark.parametrize("values", [(0, 100, 255), (0, 1, 2), (0, 8, 9), (0, 1000, 2000, 3000)])
    def test_more_levels_than_two_are_no_mask_of_two(self, values: tuple[int, ...]) -> None:
        number = crowd(9) % len(values)
        (error,) = self.WHITE.read(as_file(np.array(values, np.uint16)[number])).errors
        assert "not black and white" in error

    def test_colours_are_refused(self) -> None:
        assert "coloured" in self.WHITE.read(as_file(COLOURS[crowd(9)])).errors[0]

    def test_cells_are_the_darker_side_of_an_image(self) -> None:
        image = np.full((300, 400, 3), 220, np.uint8)
        image[self.TRUTH == 1] = 120
        cells, glass = self.TRUTH == 1, self.TRUTH == 0
        assert contrast_of_cells(image, cells, glass) == -100.0
        assert contrast_of_cells(image, glass, cells) == 100.0
        assert contrast_of_cells(image, np.zeros_like(cells), glass) == 0.0, "no cells to compare"


class TestPaletteFile:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (THREE.replace("#0000ff", "#ff0000"), "#ff0000 is one of the colours of nucleus and of cytoplasm"),
            (THREE.replace("#808080", "#0000ff"), "#0000ff is one of the colours of cytoplasm and of ignore_colours"),
            (THREE.replace("key: background", "key: red"), "put `background` first"),
            (THREE.replace("key: nucleus", "key: cytoplasm"), "cytoplasm stands there twice"),
            (THREE.replace("key: nucleus,", "key: nucleus, id: 2,"), "nucleus has the id 2 and stands at place 1"),
            (THREE.replace('colours: ["#0000ff"]', "colours: []"), "cytoplasm has no colours"),
            (THREE.replace('"#0000ff"', '"blue"'), '"blue" is no colour: write it in quotes'),
            (THREE.replace("ignore_colours", "ignored_colours"), "ignore_colours"),
            ("classes: [{key: background, values: [0]}, {key: a, colours: ['#ff0000']}]", "a has no values"),
        ],
    )
    def test_each_error_is_told_with_the_file(self, tmp_path: Path, text: str, words: str) -> None:
        with pytest.raises(UserError) as error:
            palette(tmp_path, text)
        assert words in str(error.value)
        assert "palette.yaml" in str(error.value)

    def test_the_ten_classes_in_another_order_are_refused(self, tmp_path: Path) -> None:
        rows = [f'  - {{key: {c.key}, colours: ["{c.colour}"]}}' for c in CLASSES]
        assert palette(tmp_path, "\n".join(["classes:", *rows])).taxonomy_version == 1
        rows[1], rows[2] = rows[2], rows[1]
        with pytest.raises(UserError, match="another order than their ids"):
            palette(tmp_path, "\n".join(["classes:", *rows]))

    def test_a_name_that_is_no_palette_tells_the_choices(self) -> None:
        with pytest.raises(UserError, match="binary, ids, reference, instances or a YAML file"):
            read_palette("colors")


def test_a_mask_with_an_orientation_is_read_upright(tmp_path: Path) -> None:
    label = np.zeros((20, 30), np.uint8)
    label[2:5, 3:9] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "m.jpg", label, exif=exif, quality=100)
    mask = decode_mask(path.read_bytes(), "m.jpg")
    assert mask.lossy
    assert mask.value is not None
    assert (np.abs(mask.value.astype(int) - np.rot90(label, -1)) < 40).all()
