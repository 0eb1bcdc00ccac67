"""Slides: levels of a pyramid, the scale that a file states, regions, glass, and labels as pyramids.

Files of scanners were not to be had: what stands for them are pyramids that tifffile wrote, one of them as Aperio's.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from click.testing import CliRunner

from segtrain.cli import main
from segtrain.counting.predict import predict
from segtrain.inference import field_prediction, image_reader, prediction_files
from segtrain.inference.field_prediction import predict_field, um_per_px_of
from segtrain.inference.image_reader import ArrayReader, TiffReader, open_image
from segtrain.inference.ready_networks import load_networks
from segtrain.inference.slide_reader import SlideReader, region_of
from segtrain.inference.tiles import RescaledImage, occupied_tiles
from smearsynth.base.errors import UserError
from smearsynth.fields.scale import Scale, credible, to_native

Pixels = npt.NDArray[np.uint8]
APERIO = "Aperio Image Library v12\r\n{} [0,0 {}] (256x256) none/RGB|AppMag = 40|MPP = 0.1000"
pytestmark = pytest.mark.usefixtures("one_thread")


def discs(height: int, width: int, radius: int = 18) -> Pixels:
    """Red discs on bright glass, and not a pixel twice the same."""
    image = np.full((height, width, 3), 235, np.uint8)
    for x in range(30, width - 20, 60):
        for y in range(30, height - 20, 60):
            cv2.circle(image, (x, y), radius, (200, 120, 130), -1)
    return image - np.random.default_rng(0).integers(0, 9, image.shape).astype(np.uint8)


def pyramid(path: Path, levels: list[Pixels], **options: Any) -> Path:
    """kind: of OME-TIFF (levels in SubIFDs), of Aperio (with a thumbnail behind the first), or plain."""
    kind = "ome" if path.name.endswith(".ome.tif") else path.suffix
    common = {"tile": (256, 256), "photometric": "rgb", "metadata": None} | options
    with tifffile.TiffWriter(path, bigtiff=True, ome=kind == "ome") as file:
        for number, level in enumerate(levels):
            size = f"{level.shape[1]}x{level.shape[0]}"
            more: dict[str, Any] = {}
            if kind == ".svs":
                more = {"description": APERIO.format(size, size), "subfiletype": 0}
            elif number:
                more = {"subfiletype": 1}
            elif kind == "ome":
                sizes = {f"PhysicalSize{axis}": 100 for axis in "XY"} | {f"PhysicalSize{a}Unit": "nm" for a in "XY"}
                more = {"subifds": len(levels) - 1, "metadata": {"axes": "YXS", **sizes}}
            file.write(level, **common | more)
            if kind == ".svs" and number == 0:
                thumbnail = np.full((90, 120, 3), 77, np.uint8)
                file.write(thumbnail, photometric="rgb", metadata=None, description=more["description"])
    return path


@pytest.fixture(params=["a.svs", "a.ome.tif", "a.tif"])
def slide(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """1100 x 1300 px of 0.1 um/px and two levels below it, which show other pixels, so that they can be told apart."""
    if request.param == "a.svs":
        pytest.importorskip("openslide", reason="needs the extra `slides`")
    monkeypatch.setattr(image_reader, "MAX_PIXELS", 1_000_000)
    monkeypatch.setattr(field_prediction, "MAX_PIXELS", 1_000_000)
    scale = {"resolution": (100_000, 100_000), "resolutionunit": "CENTIMETER"} if request.param == "a.tif" else {}
    full = discs(1100, 1300)
    return pyramid(tmp_path / request.param, [full, full[::2, ::2] // 2, full[::4, ::4] // 4], **scale)


def test_a_slide_is_read_at_the_level_that_fits(slide: Path) -> None:
    full, image = discs(1100, 1300), open_image(slide)
    assert isinstance(image, SlideReader if slide.suffix == ".svs" else TiffReader)
    assert (image.shape, image.um_per_px) == ((1100, 1300), pytest.approx(0.1))
    np.testing.assert_array_equal(image.rows(250, 523, 11, 777), full[250:523, 11:777])
    for factor, step in ((1.0, 1), (0.52, 1), (0.5, 2), (0.3, 2), (0.25, 4), (0.01, 4)):
        level = image.coarser(factor)
        assert level.shape == (1100 // step, 1300 // step), factor
        np.testing.assert_array_equal(level.rows(101, 137, 20, 90), (full[::step, ::step] // step)[101:137, 20:90])
    halved, twice = RescaledImage(image, 0.5), image.coarser(0.5).coarser(0.5)
    np.testing.assert_array_equal(halved.rows(3, 9), full[6:18:2, ::2] // 2)
    assert twice.shape == (275, 325)


def test_a_region_is_that_part_of_the_slide(slide: Path) -> None:
    full, image = discs(1100, 1300), open_image(slide)
    even, odd = region_of(image, "200,300,512,400"), region_of(image, (201, 300, 512, 400))
    assert (even.shape, even.um_per_px) == ((400, 512), pytest.approx(0.1))
    np.testing.assert_array_equal(odd.rows(5, 300, 7), full[305:600, 208:713])
    np.testing.assert_array_equal(even.coarser(0.25).rows(0, 100), full[300:700:4, 200:712:4] // 4)
    assert odd.coarser(0.25) is odd, "its pixels do not begin where a pixel of the level does"


@pytest.mark.parametrize(
    "place", ["-1,0,10,10", "0,0,1301,10", "0,1090,10,11", "5,5,0,10", "a,b", "1,2,3", "1,2,3,4.5"]
)
def test_a_region_that_is_none_gets_a_sentence(place: str) -> None:
    with pytest.raises(UserError, match=r"does not lie in its 1300x1100 px|is no region: give x,y,width,height"):
        region_of(ArrayReader(discs(1100, 1300)), place)


def test_what_a_file_states_goes_before_auto_and_is_said(slide: Path, tiny_run: Path, tmp_path: Path) -> None:
    image = open_image(slide)
    assert um_per_px_of(image, Scale("auto")) == pytest.approx(0.1)
    assert um_per_px_of(image, Scale("0.3")) == 0.3
    arguments = ["predict", str(tiny_run), str(slide), "--out", str(tmp_path / "out"), "--region", "200,300,512,400"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "the scale is what the file states: 0.1000 um/px" in done.stderr
    region = region_of(image, "200,300,512,400")
    networks = load_networks([tiny_run])
    pixels = ArrayReader(region.coarser(0.5).rows(0, 200))
    seen = predict_field(networks, pixels, 0.2, probability=True).probability
    assert seen is not None
    expected = np.stack([to_native(plane, (400, 512)) for plane in seen]).argmax(axis=0)
    assert (cv2.imread(str(tmp_path / f"out/{slide.stem}_label.png"), 0) == expected).mean() > 0.999


@pytest.mark.parametrize(
    ("options", "stated"),
    [
        ({"resolution": (72, 72)}, None),
        ({"resolution": (127_000, 127_000)}, 0.2),
        ({"resolution": (50_000, 25_000), "resolutionunit": "CENTIMETER"}, None),
        ({"imagej": True, "resolution": (5, 5), "metadata": {"unit": "um"}}, 0.2),
        ({"imagej": True, "resolution": (5, 5), "metadata": {"unit": "pixel"}}, None),
        ({"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2}}, 0.2),
        ({"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.4}}, None),
    ],
    ids=str,
)
def test_a_scale_is_what_the_tags_of_a_microscope_state(
    tmp_path: Path, options: dict[str, Any], stated: float | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", discs(40, 60), photometric="rgb", **options)
    found = credible(open_image(tmp_path / "a.tif").um_per_px)
    assert found == (None if stated is None else pytest.approx(stated, rel=1e-6))


@pytest.mark.slow
def test_cells_of_a_region_are_told_in_pixels_of_the_full_image(tiny_run: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), discs(300, 300))
    cv2.imwrite(str(tmp_path / "b.png"), discs(300, 300)[120:270, 50:250])
    kept = []
    for name, more in (("a", ["--region", "50,120,200,150"]), ("b", [])):
        out = tmp_path / f"out_{name}"
        arguments = ["count", str(tiny_run), str(tmp_path / f"{name}.png"), "--um-per-px", "0.2", *more]
        done = CliRunner().invoke(main, [*arguments, "--format", "csv,geojson", "--out", str(out)])
        assert done.exit_code == 0, done.output
        rows = [line.split(",") for line in (out / "cells.csv").read_text().splitlines()]
        features = json.loads((out / f"{name}.geojson").read_text())["features"]
        kept.append(([dict(zip(rows[0], row, strict=True)) for row in rows[1:]], features))
    (of_region, drawn), (of_crop, drawn_crop) = kept
    assert len(of_region) == len(of_crop) > 0
    for one, other in zip(of_region, of_crop, strict=True):
        for names, offset in (("x left right", 50), ("y top bottom", 120)):
            for column in names.split():
                assert float(one[column]) == pytest.approx(float(other[column]) + offset)
        assert (one["class"], one["area_um2"]) == (other["class"], other["area_um2"])
    for one, other in zip(drawn, drawn_crop, strict=True):
        corners, moved = ([p for ring in flat(f["geometry"]) for p in ring] for f in (one, other))
        assert corners == [[x + 50, y + 120] for x, y in moved]


def flat(geometry: dict[str, Any]) -> list[Any]:
    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return [ring for part in parts for ring in part]


def test_tiles_are_skipped_where_there_is_glass_alone() -> None:
    height, width = 1280, 1664
    light = np.linspace(215, 235, width)[None, :, None] + np.linspace(0, 5, height)[:, None, None]
    glass = light + np.random.default_rng(0).normal(0, 3, (height, width, 3))
    assert not occupied_tiles(ArrayReader(glass.astype(np.uint8)), 1.0).any(), "uneven light and noise are glass"
    # A platelet of 2 um, a quarter darker in green alone: in columns 384 to 896 and 768 to 1280, rows 0 to 512.
    cv2.circle(platelet := np.ones((height, width)), (830, 100), 5, 0.75, -1)
    glass[..., 1] *= platelet
    found = occupied_tiles(ArrayReader(glass.astype(np.uint8)), 1.0)
    assert np.argwhere(found).tolist() == [[0, 1], [0, 2]]


@pytest.mark.parametrize("slide", ["a.tif"], indirect=True)
def test_skipping_glass_changes_no_label_elsewhere(slide: Path, tiny_run: Path, tmp_path: Path) -> None:
    told = []
    for limit in (1_000_000, 10_000_000):
        field_prediction.MAX_PIXELS = limit  # of the fixture's monkeypatch, which undoes it
        out = tmp_path / str(limit)
        done = predict(tiny_run, slide, out=out, progress=False)
        told.append((cv2.imread(str(out / f"{slide.stem}_label.png"), 0), " ".join(done.warnings)))
    (skipped, said), (all_of_it, before) = told
    np.testing.assert_array_equal(skipped, all_of_it)
    assert "0% of its 4 tiles are glass, and are skipped" in said
    assert "tiles" not in before


@pytest.mark.slow
def test_labels_of_a_slide_are_a_pyramid(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (image_reader, field_prediction, prediction_files):
        monkeypatch.setattr(module, "MAX_PIXELS", 1_000_000)
    image = np.full((1001, 1501, 3), 235, np.uint8)
    image[100:400, 1100:1400] = discs(300, 300)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", tile=(256, 256), compression="zlib")
    done = predict(tiny_run, tmp_path / "a.tif", out=tmp_path / "out", um_per_px=0.2, progress=False)
    with tifffile.TiffFile(tmp_path / "out/a_label.tif") as file:
        levels = file.series[0].levels
        assert [level.shape for level in levels] == [(1001, 1501), (501, 751)]
        full = levels[0].asarray()
        for number, level in enumerate(levels):
            assert level.keyframe.is_tiled
            np.testing.assert_array_equal(level.asarray(), full[:: 2**number, :: 2**number])
    [told] = done.images
    assert list(told["pixels"].values()) == [*np.bincount(full.ravel(), minlength=10).tolist(), 0]
    assert not full[:, :700].any()
    assert "are glass, and are skipped" in " ".join(done.warnings)
    assert not any("blank" in text for text in done.warnings)


def test_slides_that_cannot_be_read_get_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openslide", reason="needs the extra `slides`")
    monkeypatch.setattr(image_reader, "MAX_PIXELS", 1_000_000)
    full = discs(1100, 1300)
    (tmp_path / "none.svs").write_bytes(b"no slide")
    with pytest.raises(UserError, match=r"none\.svs: OpenSlide cannot read it"):
        open_image(tmp_path / "none.svs")
    pyramid(tmp_path / "broken.ome.tif", [full, full[::2, ::3]])
    with pytest.raises(UserError, match=r"its pyramid is broken: 434x550 px are not 1300x1100 px made smaller"):
        open_image(tmp_path / "broken.ome.tif")
    cut = pyramid(tmp_path / "cut.svs", [full], compression="jpeg")
    places = tifffile.TiffFile(cut).pages.first.dataoffsets
    with cut.open("r+b") as file:
        file.seek(places[0])
        file.write(bytes(200))
    with pytest.raises(UserError, match=r"cut\.svs: rows 0 to 100 cannot be read"):
        open_image(cut).rows(0, 100)


def test_without_openslide_a_slide_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    (tmp_path / "a.ndpi").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.ndpi: slides of scanners need the extra `slides`: pip install"):
        open_image(tmp_path / "a.ndpi")


def test_a_region_of_a_folder_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    arguments = ["predict", str(tiny_run), str(tmp_path), "--out", str(tmp_path / "out"), "--region", "0,0,9,9"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert done.stderr.strip().endswith("name that, and not a folder or several (--region)")


@pytest.mark.slow
def test_thirty_two_thousand_pixels_a_side_take_less_than_two_gigabytes(tiny_run: Path, tmp_path: Path) -> None:
    """A slide of one tile of glass, repeated, with cells on a thousandth of it; one pyramid as scanners write it. Of
    40,000 it takes 1.96 million KiB, too near to the bound for a test."""
    codecs = pytest.importorskip("imagecodecs", reason="needs the extra `tiff`")
    side, tile = 32_000, 256
    glass = codecs.jpeg_encode(np.full((tile, tile, 3), 235, np.uint8), level=80)
    cells = codecs.jpeg_encode(discs(tile, tile), level=80)
    with tifffile.TiffWriter(tmp_path / "slide.tif", bigtiff=True) as file:
        for level in range(5):
            length = side >> level
            across = -(-length // tile)
            spot = range(across // 2, across // 2 + max(1, 8 >> level))
            tiles = (cells if y in spot and x in spot else glass for y in range(across) for x in range(across))
            kind = {"photometric": "ycbcr", "compression": "jpeg", "metadata": None, "subfiletype": int(level > 0)}
            scale = {"resolution": (40_000 >> level,) * 2, "resolutionunit": "CENTIMETER"}
            file.write(tiles, shape=(length, length, 3), dtype=np.uint8, tile=(tile, tile), **kind, **scale)
    arguments = ["predict", str(tiny_run), str(tmp_path / "slide.tif"), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "segtrain", *arguments],
        check=True,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert "the scale is what the file states: 0.2500 um/px" in done.stderr
    assert "tiles are glass" in done.stderr
    # On Linux in KiB: of the largest child so far, none of which is larger than this one may be.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2_000_000
    with tifffile.TiffFile(tmp_path / "out/slide_label.tif") as file:
        assert [level.shape[0] for level in file.series[0].levels] == [32_000 >> n for n in range(6)]
