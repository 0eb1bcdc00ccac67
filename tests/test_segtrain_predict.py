"""`segtrain predict`: files in every form in, files for others out, and a sentence for what is no image."""

import json
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from click.testing import CliRunner
from PIL import Image
from scipy import ndimage

from segtrain.cli import main
from segtrain.counting.predict import predict
from segtrain.inference import field_prediction, image_reader
from segtrain.inference.field_prediction import um_per_px_of
from segtrain.inference.image_reader import TiffReader, open_image
from segtrain.inference.ready_networks import load_networks
from segtrain.training.run_folder import load_trained
from smearsynth.base.errors import UserError
from smearsynth.fields.field_folder import read_image
from smearsynth.fields.scale import Scale, to_native

Pixels = npt.NDArray[np.uint8]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(tiny_run: Path) -> Path:
    return tiny_run


def field(height: int = 200, width: int = 300, radius: int = 18) -> Pixels:
    """Red discs on bright glass, well apart."""
    image = np.full((height, width, 3), 235, np.uint8)
    for x in range(30, width - 20, 60):
        for y in range(30, height - 20, 60):
            cv2.circle(image, (x, y), radius, (200, 120, 130), -1)
    return image + np.random.default_rng(0).integers(0, 9, image.shape).astype(np.uint8)


def save(path: Path, pixels: npt.NDArray[np.generic], **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def test_files_hold_the_classes_that_the_network_finds_likeliest(run: Path, tmp_path: Path) -> None:
    image = field()
    path = save(tmp_path / "a.png", image)
    done = predict(run, [path], out=tmp_path / "out", um_per_px=0.1, probability=True)
    small = cv2.resize(image, (150, 100), interpolation=cv2.INTER_AREA)
    trained = load_trained(run)
    with torch.no_grad():
        logits = trained.model(torch.from_numpy(small).permute(2, 0, 1)[None].float() / 127.5 - 1)
    direct = logits.softmax(dim=1)[0].numpy()
    kept = np.load(tmp_path / "out/a_probability.npy")
    np.testing.assert_allclose(kept.transpose(2, 0, 1).astype(np.float32), direct, rtol=0, atol=1e-3)
    expected = np.stack([to_native(plane, (200, 300)) for plane in direct]).argmax(axis=0)
    label = np.asarray(Image.open(tmp_path / "out/a_label.png"))
    assert label.dtype == np.uint8
    assert (label == expected).mean() > 0.999
    colours = np.array([tuple(bytes.fromhex(c[1:])) for c in trained.classes.colours], np.uint8)
    coloured = Image.open(tmp_path / "out/a_colour.png")
    np.testing.assert_array_equal(np.asarray(coloured.convert("RGB")), colours[label])
    [told] = done.images
    assert list(told["pixels"].values()) == [*np.bincount(label.ravel(), minlength=10).tolist(), 0]
    overlay = np.asarray(Image.open(tmp_path / "out/a_overlay.png"))
    cross = ndimage.generate_binary_structure(2, 1)
    alike = ndimage.minimum_filter(label, footprint=cross) == ndimage.maximum_filter(label, footprint=cross)
    outline = ~alike & (label > 0)
    np.testing.assert_array_equal(overlay[:200][~outline], image[~outline])
    np.testing.assert_array_equal(overlay[:200][outline], colours[label][outline])


def test_every_form_of_one_image_gives_the_same_labels(run: Path, tmp_path: Path) -> None:
    image = field()
    grey = np.repeat(image[..., 1:2], 3, axis=2)
    folder = tmp_path / "img"
    folder.mkdir()
    save(folder / "png.png", grey)
    save(folder / "bmp.bmp", grey)
    save(folder / "tif.tif", grey)
    save(folder / "one.png", grey[..., 0])
    save(folder / "sixteen.png", grey[..., 0].astype(np.uint16) * 257)
    save(folder / "rgba.png", np.dstack([grey, np.full(grey.shape[:2], 255, np.uint8)]))
    Image.fromarray(grey[..., 0]).convert("P").save(folder / "palette.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # stored a quarter turn to the left of upright
    save(folder / "turned.png", np.rot90(grey, 1), exif=turned)
    predict(run, [folder], out=tmp_path / "out", um_per_px=0.2)
    found = {path.name: np.asarray(Image.open(path)) for path in sorted((tmp_path / "out").glob("*_label.png"))}
    assert len(found) == 8
    for name, label in found.items():
        np.testing.assert_array_equal(label, found["png_label.png"], err_msg=name)


def test_the_scale_of_a_field_is_found_by_its_red_cells_and_said(run: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", field(radius=22))
    result = CliRunner().invoke(main, ["predict", str(run), str(path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "red cell" in result.stderr
    assert float(result.stdout.splitlines()[1].split()[2]) == pytest.approx(7.3 / 45, rel=0.03)


def test_json_is_read_by_machines(run: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", field())
    arguments = ["predict", str(run), str(path), "--out", str(tmp_path / "out"), "--um-per-px", "0.2", "--json"]
    told = json.loads(CliRunner().invoke(main, arguments).stdout)
    assert told["images"][0]["um_per_px"] == 0.2
    assert all(Path(file).is_file() for file in told["images"][0]["files"])


def test_an_ensemble_of_one_network_with_itself_changes_nothing(run: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", field())
    for out, others in (("one", []), ("two", [run])):
        predict(run, [path], out=tmp_path / out, um_per_px=0.2, others=others)
    assert (tmp_path / "one/a_label.png").read_bytes() == (tmp_path / "two/a_label.png").read_bytes()


@pytest.fixture
def other_scale(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return changed(run, tmp_path_factory.mktemp("other"), um_per_px=0.1)


def changed(run: Path, folder: Path, **identity: object) -> Path:
    from segtrain.networks import checkpoint

    state = checkpoint.load(run / "best.pt")
    checkpoint.save(folder / "best.pt", {**state, "identity": {**state["identity"], **identity}})
    return folder


def test_networks_of_other_scales_or_classes_are_not_averaged(run: Path, other_scale: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trained at 0\.1 um/px, and .* at 0\.2"):
        load_networks([run, other_scale])
    classes = {**load_trained(run).classes.__dict__}
    classes["keys"] = ("background", *("abcdefghi"))
    with pytest.raises(UserError, match=r"tells background, a, b.*must have the same classes"):
        load_networks([run, changed(run, tmp_path, classes=classes)])


def refused(arguments: list[str], expected: str, code: int = 2) -> None:
    result = CliRunner().invoke(main, ["predict", *arguments])
    assert result.exit_code == code, result.output
    assert expected in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, "a sentence"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.png", b"", "empty.png: cannot be read as an image"),
        ("text.jpg", b"no image" * 100, "text.jpg: cannot be read as an image"),
        ("empty.tif", b"", "empty.tif: cannot be read as an image"),
        ("broken.tif", b"II*\0\x08\0\0\0\xff\xff" + b"\xaa" * 99, "broken.tif: cannot be read as an image"),
    ],
)
def test_what_is_no_image_gets_a_sentence(run: Path, tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    good = save(tmp_path / "good.png", field())
    refused([str(run), str(good), str(tmp_path / name), "--out", str(tmp_path / "out"), "--um-per-px", "0.2"], expected)
    assert not (tmp_path / "out").exists(), "nothing is written where one of the images is wrong"


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_a_truncated_image_gets_a_sentence(run: Path, tmp_path: Path, kind: str) -> None:
    path = save(tmp_path / f"cut.{kind}", field())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused([str(run), str(path), "--out", str(tmp_path / "out"), "--um-per-px", "0.2"], f"cut.{kind}: cannot be read")


def test_an_image_without_cells(run: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "glass.png", np.full((100, 120, 3), 235, np.uint8))
    refused([str(run), str(path), "--out", str(tmp_path / "out")], "shows 0 single red cells")
    assert predict(run, [path], out=tmp_path / "out", um_per_px=0.2).images[0]["width"] == 120
    assert (tmp_path / "out/glass_overlay.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--um-per-px", "0"], "The scale: 0 um/px is outside 0.01 to 2.0; give micrometres per pixel (--um-per-px)"),
        (["--um-per-px", "-1"], "-1 um/px is outside"),
        (["--um-per-px", "nan"], "nan um/px is outside"),
        (["--um-per-px", "much"], "give a number, `auto`, or a CSV file"),
        (["--with", "nowhere"], "is missing"),
        (["--runtime", "onnx"], "write it by `segtrain export"),
    ],
)
def test_wrong_options_get_a_sentence(run: Path, tmp_path: Path, arguments: list[str], expected: str) -> None:
    path = save(tmp_path / "a.png", field())
    refused([str(run), str(path), "--out", str(tmp_path / "out"), *arguments], expected)


def test_other_wrong_input_gets_a_sentence(run: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", field())
    out = ["--out", str(tmp_path / "out"), "--um-per-px", "0.2"]
    refused([str(tmp_path / "nowhere"), str(path), *out], "best.pt is missing")
    refused([str(run), str(tmp_path / "none.png"), *out], "none.png: the file is not there")
    (tmp_path / "folder").mkdir()
    refused([str(run), str(tmp_path / "folder"), *out], "there is no image")
    save(tmp_path / "folder/a.jpg", field())
    refused([str(run), str(path), str(tmp_path / "folder"), *out], "two images would be written there")
    refused([str(run), str(path), "--out", str(path / "deep"), *out[2:]], "a.png is a file, and a folder is needed")


def test_predictions_are_not_written_over_by_accident(run: Path, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", field())
    arguments = [str(run), str(path), "--out", str(tmp_path / "out"), "--um-per-px", "0.2"]
    assert CliRunner().invoke(main, ["predict", *arguments]).exit_code == 0
    before = (tmp_path / "out/a_label.png").read_bytes()
    (tmp_path / "out/a_label.png").write_bytes(b"mine")
    refused(arguments, "overwrite them, or name another folder (--overwrite, --out)")
    assert (tmp_path / "out/a_label.png").read_bytes() == b"mine"
    assert CliRunner().invoke(main, ["predict", *arguments, "--overwrite"]).exit_code == 0
    assert (tmp_path / "out/a_label.png").read_bytes() == before


def test_an_image_is_never_written_over(run: Path, tmp_path: Path) -> None:
    paths = [save(tmp_path / name, field()) for name in ("a.png", "a_label.png")]
    before = paths[1].read_bytes()
    arguments = [str(run), *map(str, paths), "--out", str(tmp_path), "--um-per-px", "0.2", "--overwrite"]
    refused(arguments, "a_label.png is one of the images")
    assert paths[1].read_bytes() == before


def test_what_breaks_while_it_is_predicted_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.png", field(1200, 100))
    read = image_reader.FileReader.rows
    monkeypatch.setattr(
        image_reader.FileReader, "rows", lambda self, top, bottom: read(self, top, bottom) if top == 0 else 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        predict(run, [path], out=tmp_path / "out", um_per_px=0.2)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("samples", [1, 3, 4])
@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"rowsperstrip": 16},
        {"rowsperstrip": 16, "compression": "zlib", "predictor": True},
        {"tile": (64, 48)},
        {"tile": (64, 48), "compression": "zlib"},
        {"tile": (64, 48), "compression": "lzw"},
        {"byteorder": ">"},
    ],
    ids=str,
)
def test_a_tiff_in_parts_is_the_one_that_is_read_whole(
    tmp_path: Path, dtype: type, samples: int, stored: dict[str, object]
) -> None:
    if "lzw" in stored.values():
        pytest.importorskip("imagecodecs", reason="needs the extra `tiff`")
    high = np.iinfo(dtype).max + 1
    pixels = np.random.default_rng(0).integers(0, high, (150, 101, samples)).astype(dtype)
    kind = {"photometric": "rgb" if samples > 1 else "minisblack"}
    if samples == 4:
        kind["extrasamples"] = ("unassalpha",)
    tifffile.imwrite(tmp_path / "a.tif", pixels if samples > 1 else pixels[..., 0], **kind, **stored)
    whole, parts = read_image(tmp_path / "a.tif"), TiffReader(tmp_path / "a.tif")
    assert parts.shape == (150, 101)
    for top, bottom in ((0, 150), (0, 1), (60, 70), (63, 129), (149, 150)):
        np.testing.assert_array_equal(parts.rows(top, bottom), whole[top:bottom])


@pytest.mark.parametrize("stored", [{}, {"tile": (64, 48)}], ids=["strips", "tiled"])
def test_a_jpeg_in_a_tiff_in_parts_is_the_one_that_is_read_whole(tmp_path: Path, stored: dict[str, object]) -> None:
    pytest.importorskip("imagecodecs", reason="needs the extra `tiff`")
    kind = {"photometric": "rgb", "compression": "jpeg", "rowsperstrip": 64} | stored
    tifffile.imwrite(tmp_path / "a.tif", field(), **kind)
    Image.fromarray(field()).save(tmp_path / "b.tif", compression="jpeg")  # with tables apart, as slide scanners do
    for path in (tmp_path / "a.tif", tmp_path / "b.tif"):
        np.testing.assert_array_equal(TiffReader(path).rows(60, 150), read_image(path)[60:150])


def test_a_tiff_that_cannot_be_read_in_parts_is_refused(tmp_path: Path) -> None:
    pixels = np.zeros((3, 64, 64), np.uint8)
    tifffile.imwrite(tmp_path / "apart.tif", pixels, photometric="rgb", planarconfig="separate")
    with pytest.raises(UserError, match=r"apart\.tif: .*with the channels of a pixel together"):
        TiffReader(tmp_path / "apart.tif")
    flat = np.zeros((64, 64), np.uint16)
    tifffile.imwrite(tmp_path / "float.tif", flat.astype(np.float32))
    tifffile.imwrite(tmp_path / "twelve.tif", flat, bitspersample=12)
    tifffile.imwrite(tmp_path / "ycbcr.tif", np.zeros((64, 64, 3), np.uint8), photometric="ycbcr", compression="zlib")
    for name in ("float", "twelve", "ycbcr"):
        with pytest.raises(UserError, match=rf"{name}\.tif: .*must be upright and grey or RGB"):
            TiffReader(tmp_path / f"{name}.tif")


def test_a_large_tiff_that_is_cut_off_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (9000, 8000), np.uint8))
    with path.open("r+b") as file:
        file.truncate(30_000_000)
    image = open_image(path)
    assert isinstance(image, TiffReader)
    with pytest.raises(UserError, match=r"cut\.tif: rows 8990 to 9000 cannot be read"):
        image.rows(8990, 9000)


def test_the_scale_of_a_large_tiff_is_found_in_its_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field_prediction, "_MIDDLE", 600)
    image = field(1800, 1800, radius=14)
    image[600:1200, 600:1200] = field(600, 600, radius=22)
    tifffile.imwrite(tmp_path / "large.tif", image[..., 1], tile=(256, 256), compression="zlib")
    found = um_per_px_of(TiffReader(tmp_path / "large.tif"), Scale("auto"))
    assert found == pytest.approx(7.3 / 45, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("height", [pytest.param(5_600, id="in tiles"), pytest.param(3_600, id="as it is")])
def test_twenty_thousand_pixels_a_row_take_less_than_two_gigabytes(run: Path, tmp_path: Path, height: int) -> None:
    """Memory goes with the width of an image: its rows come and go from the top down."""
    part = field(532, 532)[:512, :512]
    kind = {"shape": (height, 20_000, 3), "dtype": np.uint8, "photometric": "rgb"}
    if height == 5_600:
        packed = zlib.compress(part.tobytes())
        tifffile.imwrite(
            tmp_path / "huge.tif", (packed for _ in range(11 * 40)), tile=part.shape[:2], compression="zlib", **kind
        )
    else:
        huge = tifffile.memmap(tmp_path / "huge.tif", **kind)
        row = np.tile(part, (1, 40, 1))[:, :20_000]
        for top in range(0, height, 512):
            huge[top : top + 512] = row[: height - top]
        del huge
    arguments = ["predict", str(run), str(tmp_path / "huge.tif"), "--um-per-px", "0.1", "--out", str(tmp_path / "out")]
    subprocess.run([sys.executable, "-m", "segtrain", *arguments], check=True, cwd=Path(__file__).parents[1])
    # On Linux in KiB: of the largest child so far, none of which is larger than this one may be.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2_000_000
    Image.MAX_IMAGE_PIXELS, before = None, Image.MAX_IMAGE_PIXELS
    try:
        with Image.open(tmp_path / "out/huge_label.tif") as label:
            assert label.size == (20_000, height)
        with Image.open(tmp_path / "out/huge_overlay.png") as overlay:
            assert overlay.width == 4096
    finally:
        Image.MAX_IMAGE_PIXELS = before
