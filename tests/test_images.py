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


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ({"photometric": "miniswhite"}, "grow from white to black"),
        ({"photometric": "miniswhite", "compression": "zlib"}, "grow from white to black"),
        ({"photometric": "rgb", "planarconfig": "separate"}, "lie apart"),
        ({"photometric": "minisblack", "bitspersample": 12}, "its 12 bits"),
    ],
)
def test_sixteen_bits_that_would_be_read_wrongly_are_refused(kind: dict[str, object], expected: str) -> None:
    """Pillow opens all of them, and gives an image upside down in brightness, shreds of one, or a black one."""
    file = BytesIO()
    shape = (3, 20, 30) if "planarconfig" in kind else (20, 30)
    values = np.linspace(0, 4095, np.prod(shape)).astype(np.uint16).reshape(shape)
    tifffile.imwrite(file, values, **kind)
    with pytest.raises(ImageError, match=f"a.tif: .*{expected}"):
        decode_image(file.getvalue(), "a.tif")


def test_colours_that_lie_apart_are_read_where_that_is_sure() -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    apart = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    for factor, kind in ((1, {}), (1, {"compression": "zlib"}), (257, {"compression": "zlib"})):
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


def test_first_frame_of_several() -> None:
    frames = [Image.new("RGB", (12, 12), colour) for colour in ("red", "blue")]
    image = decode_image(data(frames[0], "GIF", save_all=True, append_images=frames[1:]), "cell")
    assert (image == (255, 0, 0)).all()


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
