"""`segtrain.load`: a network called on arrays and paths sees and counts what the command line writes."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from viewed import drawn_field

import segtrain
from segtrain.counting.load import Network
from smearsynth.base.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def net(viewed: Path) -> Network:
    return segtrain.load(viewed)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Image.fromarray(drawn_field()).save(tmp_path / "field.png")
    return tmp_path / "field.png"


def test_an_array_and_a_path_are_predicted_as_the_command_does(net: Network, viewed: Path, file: Path) -> None:
    segtrain.predict(viewed, [file], out=file.parent / "verb", um_per_px=0.2, probability=True, progress=False)
    seen = net.predict(drawn_field(), 0.2, probability=True)
    assert np.array_equal(seen.label, net.predict(file, um_per_px=0.2).label)
    saved = net.predict(file, 0.2, probability=True).save(file.parent / "ours")
    assert [path.name for path in saved] == [
        f"field_{kind}" for kind in ("label.png", "colour.png", "overlay.png", "probability.npy")
    ]
    for path in saved:
        assert path.read_bytes() == (file.parent / "verb" / path.name).read_bytes(), path.name
    assert np.array_equal(np.asarray(Image.open(saved[0])), seen.label)
    assert seen.probability.shape == (10, *seen.label.shape)
    assert (seen.probability.argmax(axis=0) == seen.label).mean() > 0.999
    np.testing.assert_allclose(seen.confidence, seen.probability.max(axis=0), atol=0.1)
    assert seen.classes == net.classes
    assert "healthy_rbc" in repr(seen)
    assert seen._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(UserError, match=r"already .*\(overwrite, out\)"):
        net.predict(file, 0.2).save(file.parent / "ours")
    with pytest.raises(UserError, match=r"predict again, and ask for all \(probability\)"):
        _ = net.predict(file, 0.2).probability


def test_cells_are_those_of_the_table(net: Network, viewed: Path, file: Path) -> None:
    Image.fromarray(drawn_field(200, 260)).save(file.with_name("second.png"))
    table, images = file.with_name("cells.csv"), [file, file.with_name("second.png")]
    told = segtrain.count(viewed, images, out=table, um_per_px=0.2, progress=False)
    count = net.count(images, 0.2)
    assert (count.figures, str(count)) == (told.figures, str(told)) == (told.figures, repr(count))
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == len(count.cells) > 0
    for row, cell in zip(rows, count.cells, strict=True):
        assert list(row)[: len(cell)] == list(cell)
        for name, value in cell.items():
            text = row[name]
            assert float(text) == pytest.approx(value, abs=0.05) if isinstance(value, float) else text == str(value)
    for number, (image, _, _) in enumerate(count.images):
        mine = [cell for cell in count.cells if cell["image"] == image]
        assert np.array_equal(np.unique(count.maps[number])[1:], [cell["cell"] for cell in mine])
        for cell in mine:
            y, x = np.nonzero(count.maps[number] == cell["cell"])
            assert (x.min(), x.max() + 1, y.min(), y.max() + 1) == (
                cell["left"],
                cell["right"],
                cell["top"],
                cell["bottom"],
            )
    with pytest.raises(UserError, match="take `maps`"):
        _ = count.map
    assert "<img" not in count._repr_html_()


def test_arrays_are_counted_like_files(net: Network, file: Path) -> None:
    of_file, of_array = net.count(file, 0.2), net.count(drawn_field(), 0.2)
    assert of_file.summary == of_array.summary
    assert np.array_equal(of_file.map, of_array.map)
    assert {cell["image"] for cell in of_array.cells} == {"image"}
    several = net.count([drawn_field(), drawn_field()[..., 1], file], 0.2)
    assert [name for name, _, _ in several.images] == ["images[0]", "images[1]", "field.png"]
    assert "data:image/png;base64," in of_array._repr_html_()
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    assert pandas.DataFrame(several.cells).groupby("image").size().sum() == len(several.cells)


def test_any_layout_of_a_good_array_is_taken(net: Network) -> None:
    image = drawn_field()
    expected = net.predict(image, 0.2).label
    for same in (image[::-1][::-1], np.asfortranarray(image), image.copy()):
        assert np.array_equal(net.predict(same, 0.2).label, expected)
    grey = image[..., 1]
    assert np.array_equal(net.predict(grey, 0.2).label, net.predict(np.stack([grey] * 3, axis=2), 0.2).label)
    assert np.array_equal(net.predict(grey[..., None], 0.2).label, net.predict(grey, 0.2).label)


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (np.zeros((8, 9, 3)), r"holds float64: give uint8, 0 to 255, of 0 to 1 as \(image \* 255\)"),
        (np.zeros((8, 9, 3), np.uint16), r"holds uint16: .*\(image >> 8\)"),
        (np.zeros((8, 9, 3), bool), "holds bool: give uint8, 0 to 255$"),
        (np.zeros((3, 8, 9), np.uint8), r"shape 3x8x9, channels first: give image.transpose\(1, 2, 0\)"),
        (np.zeros((8, 9, 4), np.uint8), r"shape 8x9x4, a channel beyond RGB: give image\[..., :3\]"),
        (np.zeros((2, 8, 9, 3), np.uint8), "shape 2x8x9x3: give one image"),
        (np.zeros((0, 9, 3), np.uint8), "shape 0x9x3 and no pixel"),
        (Image.new("RGB", (9, 8)), r"is a Image: give a path or a numpy array, of a PIL image numpy.asarray"),
        (7, "is a int: give a path or a numpy array"),
    ],
)
def test_what_is_no_image_is_refused_in_the_words_of_the_caller(net: Network, value: object, remedy: str) -> None:
    for call in (net.predict, net.count):
        with pytest.raises(ValueError, match=remedy):
            call(value, 0.2)  # type: ignore[operator]


def test_errors_name_arguments(net: Network, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image: shows 0 single red cells .*\(um_per_px\)"):
        net.predict(np.full((300, 300, 3), 230, np.uint8))
    with pytest.raises(UserError, match=r"there is no image.*\(images\)"):
        net.count([], 0.2)
    with pytest.raises(UserError, match="the file is not there"):
        net.predict(tmp_path / "none.png", 0.2)
    assert repr(net).startswith("<Network ")


@pytest.mark.slow
def test_an_exported_file_is_loaded_as_its_run_is(net: Network, viewed: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    [exported] = segtrain.export(viewed, format="onnx", out=tmp_path).files
    assert (
        np.mean(segtrain.load(exported).predict(drawn_field(), 0.2).label == net.predict(drawn_field(), 0.2).label)
        > 0.999
    )
