"""Every kind of image file a user may have gives RGB, a mask, or a fault with a reason; never anything else."""

import pickle
import struct
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from smearsynth.base.images import ImageError, decode_image, read_bytes, read_header, read_mask

RGB = np.random.default_rng(7).integers(0, 256, (12, 9, 3), dtype=np.uint8)


def data(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(ImageError) as caught:
        action()
    assert "cell.png" in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_rgb_comes_back_as_it_was(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(decode_image(data(Image.fromarray(RGB), kind, **options), "cell"), RGB)


def test_grey_is_repeated() -> None:
    expected = np.repeat(RGB[..., :1], 3, axis=2)
    np.testing.assert_array_equal(decode_image(data(Image.fromarray(RGB[..., 0])), "cell"), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_range(kind: str) -> None:
    wide = np.tile(np.array([0, 128, 129, 257, 514, 32768, 65406, 65407, 65535], np.uint16), (12, 1))
    image = decode_image(data(Image.fromarray(wide), kind), "cell")
    assert image.shape == (12, 9, 3)
    np.testing.assert_array_equal(image[3, :, 1], [0, 0, 1, 1, 2, 128, 254, 255, 255])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_twelve_bits_in_a_file_of_sixteen_are_no_black_image(kind: str) -> None:
    wide = np.tile(np.linspace(0, 4095, 24).astype(np.uint16), (12, 1))
    with pytest.raises(ImageError, match=r"cell: its 16-bit values end at 4,095 of 65,535.*stretch them"):
        decode_image(data(Image.fromarray(wide), kind), "cell")


def test_sixteen_bits_of_three_colours_keep_their_range() -> None:
    wide = RGB.astype(np.uint16) * 257
    written, png = cv2.imencode(".png", wide[..., ::-1])
    assert written
    np.testing.assert_array_equal(decode_image(png.tobytes(), "cell"), RGB)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("kind", ["together", "apart", "grey", "alpha", "from white"])
def test_fewer_bits_in_a_file_of_sixteen_go_by_the_range_that_it_states(kind: str, compression: str | None) -> None:
    eight = np.random.default_rng(3).integers(0, 256, (20, 30, 3), np.uint8)
    eight[0, 0], eight[0, 1] = 255, 0
    twelve = np.rint(eight * (4095 / 255)).astype(np.uint16)
    options: dict = {"photometric": "rgb", "compression": compression}
    expected = eight
    if kind == "apart":
        twelve, options = np.ascontiguousarray(np.moveaxis(twelve, -1, 0)), {**options, "planarconfig": "separate"}
    elif kind in ("grey", "from white"):
        expected = np.repeat(eight[..., :1], 3, axis=2)
        twelve = twelve[..., 0]
        options["photometric"] = "minisblack"
    if kind == "from white":
        twelve, options["photometric"] = 4095 - twelve, "miniswhite"
    if kind == "alpha":
        twelve = np.dstack([twelve, np.full((20, 30), 4095, np.uint16)])
        options["extrasamples"] = ["unassalpha"]
    samples = 1 if twelve.ndim == 2 else min(twelve.shape)

    def written(tags: list) -> bytes:
        file = BytesIO()
        tifffile.imwrite(file, twelve, extratags=tags, metadata=None, **options)
        return file.getvalue()

    stated = written([(340, 3, samples, (0,) * samples, True), (341, 3, samples, (4095,) * samples, True)])
    np.testing.assert_array_equal(decode_image(stated, "a.tif"), expected)
    with pytest.raises(ImageError, match=r"a.tif: its 16-bit values end at 4,095 of 65,535"):
        decode_image(written([]), "a.tif")
    wrong = written([(341, 3, samples, (1000,) * samples, True)])
    with pytest.raises(ImageError, match=r"states values up to 1,000 and has 4,095"):
        decode_image(wrong, "a.tif")


def test_colours_of_twelve_bits_in_a_png_are_no_black_image() -> None:
    for channels in (3, 4):
        wide = np.full((20, 30, channels), 4095, np.uint16)
        with pytest.raises(ImageError, match="end at 4,095"):
            decode_image(cv2.imencode(".png", wide)[1].tobytes(), "cell")


def test_values_that_are_packed_into_twelve_bits_are_read() -> None:
    wide = np.tile(np.linspace(0, 4095, 24).astype(np.uint16), (12, 1))
    file = BytesIO()
    tifffile.imwrite(file, wide, photometric="minisblack", bitspersample=12)
    image = decode_image(file.getvalue(), "a.tif")
    np.testing.assert_array_equal(image[5, :, 2], np.rint(wide[5] / 4095 * 255))


def test_significant_bits_of_ome() -> None:
    wide = np.tile(np.linspace(0, 1023, 24).astype(np.uint16), (12, 1))
    file = BytesIO()
    tifffile.imwrite(file, wide, ome=True, photometric="minisblack", metadata={"axes": "YX", "SignificantBits": 10})
    np.testing.assert_array_equal(decode_image(file.getvalue(), "a.tif")[5, :, 2], np.rint(wide[5] / 1023 * 255))


class TestPages:
    """A TIFF of several pages is its image, or is refused; never the page that happens to be the first."""

    def written(self, *pages: np.ndarray, **options: object) -> bytes:
        file = BytesIO()
        with tifffile.TiffWriter(file, **{k: v for k, v in options.items() if k in ("imagej", "ome")}) as tiff:
            for page in pages:
                tiff.write(page, **{k: v for k, v in options.items() if k not in ("imagej", "ome")})
        return file.getvalue()

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("form", ["imagej", "ome"])
    def test_colours_as_pages(self, form: str, dtype: type) -> None:
        planes = np.moveaxis(RGB, -1, 0).astype(dtype) * dtype(257 if dtype == np.uint16 else 1)
        data = self.written(planes, photometric="minisblack", metadata={"axes": "CYX"}, **{form: True})
        np.testing.assert_array_equal(decode_image(data, "a.tif"), RGB)

    def test_colours_go_by_their_names(self) -> None:
        planes = np.moveaxis(RGB[..., ::-1], -1, 0).copy()
        names = {"axes": "CYX", "Channel": {"Name": ["Blue", "Green", "Red"]}}
        data = self.written(planes, photometric="minisblack", metadata=names, ome=True)
        np.testing.assert_array_equal(decode_image(data, "a.tif"), RGB)
        labels = {"axes": "ZYX", "Labels": ["Blue", "Green", "Red"]}
        np.testing.assert_array_equal(decode_image(self.written(planes, metadata=labels, imagej=True), "a.tif"), RGB)

    def test_a_thumbnail_before_the_image(self, tmp_path: Path) -> None:
        file = BytesIO()
        with tifffile.TiffWriter(file) as tiff:
            tiff.write(np.zeros((9, 9, 3), np.uint8), photometric="rgb", subfiletype=1)
            tiff.write(RGB, photometric="rgb")
        np.testing.assert_array_equal(decode_image(file.getvalue(), "a.tif"), RGB)
        (tmp_path / "a.tif").write_bytes(file.getvalue())
        assert read_header(tmp_path / "a.tif").height == 12

    def test_a_stack_has_no_image_until_one_is_named(self, tmp_path: Path) -> None:
        stack = np.stack([RGB[..., 0], RGB[..., 1], RGB[..., 2], RGB[..., 0]])
        for data in (
            self.written(stack, imagej=True, metadata={"axes": "ZYX"}),
            self.written(*stack, photometric="minisblack"),
        ):
            (tmp_path / "a.tif").write_bytes(data)
            for read in (partial(decode_image, data, "a.tif"), partial(read_header, tmp_path / "a.tif")):
                with pytest.raises(ImageError, match=r"a.tif: has 4 pages.*none of them is marked as the image"):
                    read()
            np.testing.assert_array_equal(decode_image(data, "a.tif", page=2)[..., 0], RGB[..., 1])
            with pytest.raises(ImageError, match="has no page 5, but 4"):
                decode_image(data, "a.tif", page=5)

    def test_frames(self) -> None:
        frames = [Image.new("RGB", (12, 12), colour) for colour in ("red", "blue")]
        moving = data(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert refused(partial(decode_image, moving, "cell.png")) == "pages"
        assert refused(partial(decode_image, data(frames[0]), "cell.png", page=2)) == "page"


def test_other_numbers_are_refused_for_what_they_are() -> None:
    for dtype, expected in ((np.float32, "floating-point"), (np.int16, "with a sign"), (np.uint32, "of 32 bits")):
        for shape in ((12, 12), (12, 12, 3)):
            file = BytesIO()
            tifffile.imwrite(file, np.ones(shape, dtype), photometric="rgb" if len(shape) > 2 else "minisblack")
            with pytest.raises(ImageError, match=f"a.tif: its pixels are .*{expected}.*no agreed range"):
                decode_image(file.getvalue(), "a.tif")


def test_colours_that_lie_apart_are_read_where_that_is_sure() -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    apart = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    for factor, kind in ((1, {}), (1, {"compression": "zlib"}), (257, {}), (257, {"compression": "zlib"})):
        file = BytesIO()
        pixels = apart * np.uint16(factor) if factor > 1 else apart
        tifffile.imwrite(file, pixels, photometric="rgb", planarconfig="separate", **kind)
        np.testing.assert_array_equal(decode_image(file.getvalue(), "a.tif"), values)


def test_transparent_is_white_like_glass() -> None:
    alpha = np.zeros((12, 9), np.uint8)
    alpha[2:9, 2:7], alpha[5, 5] = 255, 51
    image = decode_image(data(Image.fromarray(np.dstack([RGB, alpha]))), "cell")
    np.testing.assert_array_equal(image[alpha == 255], RGB[alpha == 255])
    assert (image[alpha == 0] == 255).all()
    np.testing.assert_array_equal(image[5, 5], np.rint(RGB[5, 5] * 0.2 + 255 * 0.8))


def test_palette_transparent_palette_cmyk_and_two_levels() -> None:
    red = Image.new("RGB", (12, 12), (250, 10, 20))
    for image in (red.quantize(4), red.convert("CMYK")):
        kind = "TIFF" if image.mode == "CMYK" else "PNG"
        np.testing.assert_array_equal(decode_image(data(image, kind), "cell"), np.asarray(red))
    assert (decode_image(data(red.quantize(4), transparency=0), "cell") == 255).all()
    assert (decode_image(data(Image.new("1", (12, 12), 1)), "cell") == 255).all()


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG"])
def test_exif_orientation_turns_the_image_upright(tmp_path: Path, kind: str) -> None:
    image = Image.new("RGB", (24, 16), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 12, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "cell").write_bytes(data(image, kind, exif=exif))
    upright = decode_image((tmp_path / "cell").read_bytes(), "cell")
    assert upright.shape == (24, 16, 3)
    assert upright[2, 8, 0] > 200 > upright[21, 8, 0]
    header = read_header(tmp_path / "cell")
    assert (header.height, header.width) == (24, 16)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "JPEG", "GIF"])
def test_truncated_anywhere(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = data(noise, kind)
    for share in (0, 0.01, 0.3, 0.6, 0.9):
        part = whole[: int(len(whole) * share)]
        assert refused(partial(decode_image, part, "cell.png")) == "unreadable"


@given(st.binary(max_size=300), st.integers(0, 60))
@settings(max_examples=60)
def test_garbage_is_refused_and_nothing_else_is_raised(garbage: bytes, kept: int) -> None:
    whole = data(Image.fromarray(RGB))
    reason = ""
    try:
        assert decode_image(whole[:kept] + garbage, "cell.png").shape[2] == 3
    except ImageError as fault:
        reason = fault.reason
    assert reason in {"", "unreadable", "too_large", "too_small"}


def test_size_is_judged_by_the_header() -> None:
    assert refused(lambda: decode_image(claiming(20_000, 20_000), "cell.png")) == "too_large"
    assert refused(lambda: decode_image(claiming(9_000, 9_000), "cell.png")) == "too_large"
    assert refused(lambda: decode_image(claiming(10_000, 9_000), "cell.png")) == "too_large"
    assert refused(lambda: decode_image(data(Image.new("RGB", (1, 1))), "cell.png")) == "too_small"
    assert refused(lambda: decode_image(data(Image.new("RGB", (7, 400))), "cell.png")) == "too_small"
    assert decode_image(data(Image.new("RGB", (8, 8))), "cell.png").shape == (8, 8, 3)


def test_not_an_image_of_the_field() -> None:
    assert refused(lambda: decode_image(b"%!PS-Adobe-3.0 EPSF-3.0\n", "cell.png")) == "unreadable"
    assert refused(lambda: decode_image(data(Image.new("F", (12, 12)), "TIFF"), "cell.png")) == "pixel_type"


def test_file_that_is_not_there(tmp_path: Path) -> None:
    assert refused(lambda: read_bytes(tmp_path / "cell.png")) == "missing"
    assert refused(lambda: read_mask(tmp_path / "cell.png", shape=(9, 9))) == "mask_missing"
    (tmp_path / "cell.png").mkdir()
    assert refused(lambda: read_bytes(tmp_path / "cell.png")) == "unreadable"


def test_a_fault_survives_the_way_back_from_a_worker() -> None:
    fault = pickle.loads(pickle.dumps(ImageError("too_small", "a.png: 1x1 px")))
    assert (fault.reason, str(fault)) == ("too_small", "a.png: 1x1 px")


class TestMask:
    shape = (20, 30)

    @pytest.fixture
    def inside(self) -> np.ndarray:
        inside = np.zeros(self.shape, bool)
        inside[5:12, 8:20] = True
        return inside

    def check(self, file: Path, image: Image.Image, inside: np.ndarray, **options: object) -> None:
        image.save(file, **options)
        mask = read_mask(file, shape=self.shape)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, np.where(inside, 255, 0))

    @pytest.mark.parametrize("value", [1, 50, 225, 255])
    def test_any_value_above_zero_in_any_kind_of_file(self, tmp_path: Path, inside: np.ndarray, value: int) -> None:
        grey = Image.fromarray(np.where(inside, value, 0).astype(np.uint8))
        self.check(tmp_path / "m.png", grey, inside)
        self.check(tmp_path / "m.bmp", grey.convert("RGB"), inside)
        self.check(tmp_path / "m.png", Image.fromarray(inside), inside)
        self.check(tmp_path / "m.png", Image.fromarray(np.where(inside, value, 0).astype(np.uint16)), inside)
        palette = Image.fromarray(inside.astype(np.uint8)).convert("P")
        palette.putpalette([0, 0, 0, 0, 0, value])
        self.check(tmp_path / "m.png", palette, inside)
        clear = np.dstack([np.full((*self.shape, 3), value, np.uint8), np.where(inside, 9, 0).astype(np.uint8)])
        self.check(tmp_path / "m.png", Image.fromarray(clear), inside)

    @given(pad=st.integers(0, 6), value=st.integers(1, 255))
    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_padding_puts_back_what_was_cropped(self, tmp_path: Path, pad: int, value: int) -> None:
        full = np.zeros((40, 50), np.uint8)
        full[10:30, 15:25] = value
        cropped = full[pad : 40 - pad, pad : 50 - pad]
        Image.fromarray(cropped).save(tmp_path / "cell.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "cell.png", shape=(40, 50), pad=pad) > 0, full > 0)

    def test_wrong_size_names_both(self, tmp_path: Path) -> None:
        Image.new("L", (712, 568), 9).save(tmp_path / "cell.png")
        with pytest.raises(ImageError, match=r"the mask is 712x568, its image 720x576") as caught:
            read_mask(tmp_path / "cell.png", shape=(576, 720))
        assert caught.value.reason == "mask_size"
        with pytest.raises(ImageError, match=r"718x574 with its rim of 3 px, its image 720x576"):
            read_mask(tmp_path / "cell.png", shape=(576, 720), pad=3)
        assert read_mask(tmp_path / "cell.png", shape=(576, 720), pad=4).sum() == 712 * 568 * 255

    def test_empty_and_lossy(self, tmp_path: Path) -> None:
        Image.new("L", (30, 20)).save(tmp_path / "cell.png")
        assert refused(lambda: read_mask(tmp_path / "cell.png", shape=self.shape)) == "mask_empty"
        Image.new("L", (30, 20), 255).save(tmp_path / "cell.png", "JPEG")
        assert refused(lambda: read_mask(tmp_path / "cell.png", shape=self.shape)) == "mask_lossy"
