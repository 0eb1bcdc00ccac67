"""Networks measured on splits and on real fields: every figure from a second, naive way of counting."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from shard_set import write_set
from torch import Tensor

from segtrain.data.samples import Classes, Shards
from segtrain.evaluation.evaluate import NetworkMethod, evaluate
from segtrain.evaluation.field_evaluation import CELL_AS_GLASS, GLASS_AS_CELL, error_picture, measure_fields
from segtrain.evaluation.figures import table
from segtrain.evaluation.set_evaluation import PixelMetrics
from segtrain.experiments.fit import fit
from segtrain.inference.ready_networks import Networks
from segtrain.metrics.confusion import per_image, whole_scores
from segtrain.networks import checkpoint
from segtrain.training.run_folder import load_trained
from smearsynth.base.errors import UserError
from smearsynth.fields.field_folder import Field, read_fields
from smearsynth.fields.otsu import otsu_cells
from smearsynth.fields.scale import Scale
from smearsynth.taxonomy import CLASSES

Labels = npt.NDArray[np.uint8]

TUNING = ("002f20ad", "00d04a90", "03be08c8", "01b38a56")
REAL = Path(__file__).parents[2] / "shared" / "realtest" / "bbbc041seg"
KEYS = tuple(c.key for c in CLASSES)
ABC = Classes((0, 1, 2), ("background", "a", "b"), ("#000000", "#ff0000", "#00ff00"))


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "tiny", train=8, val=3, test=9)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    short = ("model.width=2", "epochs=2", "batch=4", "amp=off")
    return fit(data, overrides=short, run=tmp_path_factory.mktemp("runs") / "run", pictures=False).run


def sure(prediction: Labels, classes: int = 3) -> Tensor:
    return 30 * torch.eye(classes)[torch.from_numpy(prediction).long()].movedim(-1, 1)


def naive(truth: Labels, prediction: Labels, c: int) -> tuple[float, float]:
    """IoU and Dice of class c, from sets of pixels."""
    ours = {tuple(p) for p in np.argwhere((prediction == c) & (truth != 255))}
    theirs = {tuple(p) for p in np.argwhere(truth == c)}
    return len(ours & theirs) / len(ours | theirs), 2 * len(ours & theirs) / (len(ours) + len(theirs))


def test_figures_of_a_prediction_made_by_hand() -> None:
    truth = np.zeros((2, 8, 8), np.uint8)
    truth[0, 2:6, 2:6] = 1
    truth[1, 7] = 255
    prediction = np.zeros_like(truth)
    prediction[0, 2:6, 3:7] = 1
    prediction[1, 7] = 2
    measures = PixelMetrics(ABC, torch.device("cpu"), boundaries=True)
    measures.update(sure(prediction), torch.from_numpy(truth))
    figures = measures.figures()
    for c, key in enumerate(("background", "a")):
        iou, dice = naive(truth, prediction, c)
        assert figures["per_class"][key]["iou"] == pytest.approx(iou)
        assert figures["per_class"][key]["dice"] == pytest.approx(dice)
    assert figures["per_class"]["a"]["pixels"] == 16
    assert figures["foreground_dice"] == pytest.approx(0.75)
    assert figures["pixel_accuracy"] == figures["reference_accuracy"] == pytest.approx(112 / 120)
    # It is sure of everything, so its calibration error is its error.
    assert figures["calibration_error"] == pytest.approx(8 / 120, abs=1e-6)
    assert figures["per_class"]["a"]["hd95"] == 1
    # Class b is predicted on ignored pixels only: absent, shown, and no part of the mean.
    assert figures["per_class"]["b"]["iou"] is None
    assert figures["miou"] == pytest.approx(sum(naive(truth, prediction, c)[0] for c in (0, 1)) / 2)
    shown = next(line for line in table(figures).splitlines() if line.startswith("b "))
    assert shown.split()[1:4] == ["0", "nan", "nan"]


def test_a_sample_is_scored_over_its_own_classes() -> None:
    truth = np.array([[[0, 0, 1, 1]], [[0, 0, 0, 0]]], np.uint8)
    prediction = np.array([[[0, 0, 1, 0]], [[0, 0, 0, 2]]], np.uint8)
    matrices = per_image(torch.from_numpy(prediction), torch.from_numpy(truth), classes=3)
    assert whole_scores(matrices)["miou"].tolist() == pytest.approx([(2 / 3 + 1 / 2) / 2, 3 / 8])


def test_a_split_is_measured_pixel_by_pixel(run: Path, data: Path) -> None:
    shards, trained = Shards(data, "test"), load_trained(run)
    matrix = np.zeros((10, 10), np.int64)
    for i in range(len(shards)):
        image, label = shards.read(i)
        pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            prediction = trained.model(pixels)[0].argmax(0).numpy()
        np.add.at(matrix, (label.ravel(), prediction.ravel()), 1)
    hit, union = matrix.diagonal(), matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    figures = evaluate(run, data)
    assert figures["pixel_accuracy"] == pytest.approx(hit.sum() / matrix.sum(), abs=1e-3)
    assert figures["miou"] == pytest.approx(np.mean((hit / union)[union > 0]), abs=1e-3)
    assert [row["pixels"] for row in figures["per_class"].values()] == matrix.sum(1).tolist()
    json.dumps(figures, allow_nan=False)


def test_outlines_are_compared_by_choice(run: Path, data: Path) -> None:
    assert "hd95" not in evaluate(run, data, split="val")
    assert {"boundary_f1", "hd95"} <= evaluate(run, data, split="val", boundaries=True).keys()


def test_a_dataset_of_other_classes_is_refused(run: Path, tmp_path: Path) -> None:
    import h5py

    other = write_set(tmp_path / "other", test=2)
    with h5py.File(other / "test-00000.h5", "r+") as file:
        file.attrs["class_keys"] = [key.replace("basophil", "blast") for key in file.attrs["class_keys"]]
    with pytest.raises(UserError, match=r"blast.*trained on.*basophil"):
        evaluate(run, other)


@pytest.mark.parametrize(
    "change",
    [
        {"identity": {"config": [1]}},
        {"identity": {"config": {"newer": 1}}},
        {"model": {"head.weight": torch.zeros(1)}},
        {"model": [1]},
    ],
    ids=str,
)
def test_a_checkpoint_of_something_else_is_refused_in_one_line(
    run: Path, data: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    checkpoint.save(tmp_path / "best.pt", checkpoint.load(run / "best.pt") | change)
    with pytest.raises(UserError, match="is not one of this segtrain") as caught:
        evaluate(tmp_path, data)
    assert "\n" not in str(caught.value)


def test_a_run_without_a_finished_epoch_is_told_of_its_last_network(run: Path, data: Path, tmp_path: Path) -> None:
    shutil.copy(run / "last.pt", tmp_path)
    with pytest.raises(UserError, match=r"has not finished an epoch; take the last network instead"):
        evaluate(tmp_path, data)
    assert evaluate(tmp_path, data, which="last")["miou"] == evaluate(run, data, which="last")["miou"]


def by_brightness(image: Tensor) -> Tensor:
    """Logits by which a pixel under 180 is of class 3, sure within ten grey levels."""
    grey = image.float().mean(dim=1)
    logits = torch.full((len(image), 10, *grey.shape[1:]), -40.0)
    logits[:, 0] = (grey - 180) / 5
    logits[:, 3] = 0
    return logits


def network(logits: Callable[[Tensor], Tensor]) -> Networks:
    """With as many of the ten classes as there are logits."""
    count = logits(torch.zeros(1, 3, 8, 8)).shape[1]
    classes = Classes(tuple(range(count)), KEYS[:count], ("#000000",) * count)
    return Networks((lambda image: logits(image).softmax(dim=1),), classes, 0.2)


def discs(radius: int, size: tuple[int, int] = (420, 500)) -> npt.NDArray[np.uint8]:
    """u1 (h, w, 3): twenty discs of 120 on glass of 240."""
    image = np.full((*size, 3), 240, np.uint8)
    for i in range(20):
        cv2.circle(image, (50 + 100 * (i % 5), 50 + 105 * (i // 5)), radius, (120, 120, 120), -1)
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fields of two scales; in the second, two columns of five are missing in the truth."""
    for name, radius in (("a", 22), ("b", 36)):
        image = discs(radius)
        mask = otsu_cells(image)
        mask[:, 300:] &= name == "a"
        for kind, pixels in (("img", image), ("mask", mask.astype(np.uint8) * 255)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / kind / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize(("glass", "cells"), [(0.49, True), (0.51, False)])
def test_a_pixel_is_of_a_cell_as_soon_as_glass_is_less_likely_than_all_cells_together(
    folder: Path, glass: float, cells: bool
) -> None:
    likely = torch.tensor([glass, (1 - glass) / 2, (1 - glass) / 2]).log().reshape(1, 3, 1, 1)
    method = NetworkMethod(network(lambda image: likely.expand(1, 3, *image.shape[2:])), Scale("0.2"))
    assert all((method(field) == cells).all() for field in read_fields(folder))


@pytest.mark.parametrize("um_per_px", ["0.07", "0.16", "0.35"])
def test_a_field_is_predicted_at_another_scale_and_measured_at_its_own(folder: Path, um_per_px: str) -> None:
    method = NetworkMethod(network(by_brightness), Scale(um_per_px))
    figures = measure_fields(read_fields(folder), {"network": method})["network"]
    assert method.details == [{"um_per_px": float(um_per_px)}] * 2
    whole, half = (image["foreground_dice"] for image in figures["images"])
    assert whole > 0.97
    assert half == pytest.approx(0.75, abs=0.01)
    assert figures["foreground_dice"] == pytest.approx((whole + half) / 2)


def test_a_network_is_measured_beside_otsu_at_the_scale_that_was_found(run: Path, folder: Path, tmp_path: Path) -> None:
    figures = evaluate(run, folder, um_per_px="auto", pictures=tmp_path / "wrong")
    first, second = figures["images"]
    assert first["um_per_px"] == pytest.approx(7.3 / 44, rel=0.03)
    assert second["um_per_px"] == pytest.approx(7.3 / 72, rel=0.03)
    assert first["baseline_dice"] == 1
    assert second["baseline_dice"] == pytest.approx(0.75)
    assert figures["baseline"]["foreground_dice"] == pytest.approx(0.875)
    assert figures["per_class"].keys() == {"background", "cell"}
    assert [line.split()[0] for line in table(figures).splitlines()[-2:]] == ["a.png", "b.png"]
    assert sorted(f.name for f in (tmp_path / "wrong").iterdir()) == ["a.png", "b.png"]
    json.dumps(figures, allow_nan=False)


def test_what_no_box_knows_does_not_count() -> None:
    cells = np.zeros((10, 30), bool)
    cells[2:6, 2:6] = cells[2:6, 20:24] = True
    counted = np.ones_like(cells)
    counted[2:6, 20:24] = False
    field = Field(Path("x.png"), np.zeros((10, 30, 3), np.uint8), cells, counted)
    methods = {"left": lambda f: f.cells & f.counted, "both": lambda f: f.cells, "none": lambda f: f.cells & False}
    figures = measure_fields([field], methods)
    assert [figures[name]["foreground_dice"] for name in methods] == [1, 1, 0]


def test_scale_is_asked_of_folders_and_of_nothing_else(run: Path, data: Path, folder: Path) -> None:
    with pytest.raises(UserError, match=r"\(um_per_px\)"):
        evaluate(run, folder)
    with pytest.raises(UserError, match="leave it out"):
        evaluate(run, data, um_per_px=0.2)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the real fields are not beside the repository")
def test_real_fields_for_tuning(tmp_path: Path) -> None:
    for kind in ("img", "mask", "boxes"):
        (tmp_path / kind).mkdir()
        for file in (REAL / kind).iterdir():
            if file.name.startswith(TUNING):
                (tmp_path / kind / file.name).symlink_to(file)
    found = NetworkMethod(network(lambda image: torch.zeros(1, 2, *image.shape[2:])), Scale("auto"))
    figures = measure_fields(read_fields(tmp_path), {"otsu": lambda f: otsu_cells(f.image), "all": found})
    assert 0.88 < figures["otsu"]["foreground_dice"] < 0.95
    # By boxed single cells of the truth.
    assert [told["um_per_px"] for told in found.details] == pytest.approx([0.0666, 0.0912, 0.0824, 0.0587], rel=0.05)


def test_errors_are_red_and_blue_and_nothing_else_is() -> None:
    image = np.full((2, 4, 3), 200, np.uint8)
    cells = np.array([[1, 1, 0, 0], [1, 0, 0, 1]], bool)
    found = np.array([[1, 0, 1, 0], [0, 0, 1, 1]], bool)
    counted = np.array([[1, 1, 1, 1], [0, 1, 0, 1]], bool)
    picture = error_picture(Field(Path("x.png"), image, cells, counted), found)
    wrong = {p: tuple(int(v) for v in picture[p]) for p in np.ndindex(2, 4) if len(set(picture[p].tolist())) > 1}
    assert wrong == {(0, 1): CELL_AS_GLASS, (0, 2): GLASS_AS_CELL}
    assert (picture[~counted] == 114).all()
