"""Image files of somebody else: bombs are refused by their headers, and a mask is either what it shows or refused."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from smearsynth.bank.cutting import MOST_PIXELS, ImageJob, cut_image
from smearsynth.bank.outlines import TooManyError, components, find_edge, whole_window
from smearsynth.base.errors import UserError
from smearsynth.base.images import MAX_PIXELS, ImageError, decode_image, read_header, read_mask
from smearsynth.fields.field_folder import image_and_mask_files, read_boxes, read_field_mask, read_fields, read_image
from smearsynth.realism.views import take_reals
from smearsynth.recipe.cell_options import GateSpec
from smearsynth.sources.entry import Entry, Method

SIDE = 40_000
HUGE = SIDE * SIDE
assert HUGE > MAX_PIXELS


def saved(kind: str, image: Image.Image | None = None, **options: object) -> bytes:
    file = BytesIO()
    (image or Image.new("RGB", (16, 16), (200, 150, 160))).save(file, kind, **options)
    return file.getvalue()


def png_bomb() -> bytes:
    whole = bytearray(saved("PNG"))
    whole[16:24] = struct.pack(">II", SIDE, SIDE)
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    return bytes(whole)


def bmp_bomb() -> bytes:
    whole = bytearray(saved("BMP"))
    whole[18:26] = struct.pack("<ii", SIDE, SIDE)
    return bytes(whole)


def tiff_bomb() -> bytes:
    whole = bytearray(saved("TIFF"))
    (directory,) = struct.unpack("<I", whole[4:8])
    (count,) = struct.unpack("<H", whole[directory : directory + 2])
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack("<H", whole[entry : entry + 2])[0] in (256, 257):
            whole[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, SIDE)
    return bytes(whole)


def jpeg_bomb() -> bytes:
    whole = bytearray(saved("JPEG"))
    frame = whole.index(b"\xff\xc0")
    whole[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    return bytes(whole)


def gif_bomb() -> bytes:
    """The frame is larger than the screen that the header claims."""
    whole = bytearray(saved("GIF"))
    frame = whole.index(b",\0\0\0\0")
    whole[frame + 5 : frame + 9] = struct.pack("<HH", SIDE, SIDE)
    return bytes(whole)


def webp_bomb() -> bytes:
    """The largest that the format can claim, 16,383 px a side."""
    whole = bytearray(saved("WEBP", lossless=True))
    whole[21:25] = struct.pack("<I", 0x0FFFFFFF)
    return bytes(whole)


BOMBS = {
    ".png": png_bomb,
    ".bmp": bmp_bomb,
    ".tif": tiff_bomb,
    ".jpg": jpeg_bomb,
    ".gif": gif_bomb,
    ".webp": webp_bomb,
}


@pytest.mark.parametrize("suffix", BOMBS)
def test_a_bomb_goes_off_nowhere(tmp_path: Path, suffix: str) -> None:
    """As a cell, as the field of `evaluate` and `fidelity`, and as a mask."""
    for name in ("img", "mask"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"a{suffix}").write_bytes(BOMBS[suffix]())
    file = tmp_path / "img" / f"a{suffix}"
    uses: tuple[Callable[[], object], ...] = (
        lambda: decode_image(file.read_bytes(), str(file)),
        lambda: read_header(file),
        lambda: read_mask(file, shape=(SIDE, SIDE)),
        lambda: read_image(file),
        lambda: read_field_mask(file, (SIDE, SIDE)),
        lambda: list(read_fields(tmp_path)),
        lambda: take_reals(tmp_path, "auto", 1, progress=False),
    )
    tracemalloc.start()
    for use in uses:
        with pytest.raises(UserError, match=f"a{suffix}"):
            use()
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_cells_are_cut_from_smaller_images_than_are_read(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5) + 1
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    entry = Entry(path="a.png", class_key="monocyte", group="a", method=Method.STAIN)
    cut = cut_image(ImageJob(root=tmp_path, source="s", entries=(entry,), glass=None, gate=GateSpec()))
    assert (cut.reason, cut.cells) == ("too_large", ())
    assert decode_image((tmp_path / "a.png").read_bytes(), "a.png").shape == (side, side, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "L", "1", "CMYK"])
def test_bands_of_an_image_are_converted_as_the_whole(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    rng = np.random.default_rng(3)
    noise = Image.fromarray(rng.integers(0, 256, (37, 23, 4), dtype=np.uint8), "RGBA")
    image = Image.fromarray(rng.integers(0, 2**16, (37, 23)).astype(np.uint16)) if mode == "I;16" else noise
    data = saved("TIFF" if mode == "CMYK" else "PNG", image.convert(mode))
    at_once = decode_image(data, "a")
    monkeypatch.setattr("smearsynth.base.images._BAND", 50)
    np.testing.assert_array_equal(decode_image(data, "a"), at_once)


def test_regions_that_are_no_cells_take_no_time() -> None:
    """A mask of one huge region, and one of more specks than any field has cells."""
    region = np.ones((1000, 1000), bool)
    density = region.astype(np.float32)
    assert not find_edge(density, whole_window(region), region, ~region, 1).mask.any()
    specks = np.tile(np.pad(np.ones((6, 6), bool), (0, 1)), (160, 160))
    with pytest.raises(TooManyError, match="over 20,000 regions"):
        list(components(specks))


class TestMasks:
    def refusal(self, path: Path, data: bytes) -> str:
        path.write_bytes(data)
        with pytest.raises(ImageError) as caught:
            read_mask(path, shape=(16, 16))
        assert str(caught.value).startswith(str(path))
        return caught.value.reason

    def test_one_of_several_pages_would_lose_the_cells_of_the_others(self, tmp_path: Path) -> None:
        page = Image.new("L", (16, 16), 255)
        more = Image.new("L", (16, 16), 99)
        for kind in ("TIFF", "GIF", "PNG"):
            data = saved(kind, page, save_all=True, append_images=[more])
            assert self.refusal(tmp_path / "m.png", data) == "mask_frames"
            with pytest.raises(UserError, match="several pages"):
                read_field_mask(tmp_path / "m.png", (16, 16))

    def test_an_edge_that_compression_blurred(self, tmp_path: Path) -> None:
        mask = Image.new("RGB", (16, 16), "white")
        for data in (
            saved("JPEG", mask),
            saved("MPO", mask, save_all=True, append_images=[mask]),
            saved("WEBP", mask, quality=50),
            saved("TIFF", mask, compression="jpeg"),
        ):
            assert self.refusal(tmp_path / "m.png", data) == "mask_lossy"
        for data in (saved("WEBP", mask, lossless=True), saved("TIFF", mask, compression="tiff_lzw")):
            (tmp_path / "m.png").write_bytes(data)
            assert read_mask(tmp_path / "m.png", shape=(16, 16)).all()

    def test_a_mask_is_never_taken_for_another_image(self, tmp_path: Path) -> None:
        for name in ("img", "mask"):
            (tmp_path / name).mkdir()
        for name in ("img/a.png", "mask/a.png", "mask/a.bmp"):
            Image.new("L", (16, 16)).save(tmp_path / name)
        with pytest.raises(UserError, match=r"a\.png: a\.bmp has the same stem; rename or remove"):
            image_and_mask_files(tmp_path)
        (tmp_path / "mask/a.bmp").rename(tmp_path / "img/a.bmp")
        with pytest.raises(UserError, match=r"img/a\.png: a\.bmp has the same stem"):
            image_and_mask_files(tmp_path)


@pytest.mark.parametrize(
    "row", ["0 120 80 40 40", "0 .5 .5 .1 nan", "0 .5 .5 .1", "0 .5 .5 -.2 .1", "a b c d e", "0 1e308 0 0 0"]
)
def test_boxes_that_are_no_shares_of_the_image_are_refused(tmp_path: Path, row: str) -> None:
    (tmp_path / "a.txt").write_text(row)
    with pytest.raises(UserError, match=r"a\.txt: give a line `class cx cy width height` per cell, as shares"):
        read_boxes(tmp_path / "a.txt", (100, 200))


SEEDS = [saved("PNG"), saved("BMP"), saved("TIFF"), saved("JPEG"), saved("GIF"), saved("WEBP", lossless=True)]
CHANGES = st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), min_size=1, max_size=6)


def damaged(seed: bytes, changes: list[tuple[int, int]], end: int) -> bytes:
    data = bytearray(seed)
    for place, value in changes:
        data[place % len(data)] = value
    return bytes(data[: len(data) - end % len(data)] if end else data)


@given(seed=st.sampled_from(SEEDS), changes=CHANGES, end=st.integers(0, 40))
@example(seed=SEEDS[0], changes=[(25, 3)], end=0)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damaged_files_give_an_image_or_a_fault(tmp_path: Path, seed: bytes, changes: list, end: int) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(damaged(seed, changes, end))
    images: list[np.ndarray] = []
    fault = told(lambda: images.append(decode_image(file.read_bytes(), str(file))))
    assert fault.startswith(str(file)) or not fault
    assert "\n" not in fault
    if images:
        header = read_header(file)
        assert (images[0].dtype, images[0].shape) == (np.uint8, (header.height, header.width, 3))
    for read in (lambda: read_mask(file, shape=(16, 16)), lambda: read_field_mask(file, (16, 16))):
        fault = told(read)
        assert fault.startswith(str(file)) or not fault


def told(use: Callable[[], object]) -> str:
    """What a refusal says, "" for none."""
    try:
        use()
    except UserError as error:
        return str(error)
    return ""
