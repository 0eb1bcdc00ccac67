"""Pictures and scalars of a run."""

import math
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shard_set import write_set

from segtrain.data.samples import Classes
from segtrain.experiments.fit import fit
from segtrain.inference.prediction_files import colour_table
from segtrain.reporting.curves import draw_curves, read_columns
from segtrain.reporting.run_pictures import (
    SampleResult,
    both_ends,
    draw_confusion,
    draw_gallery,
    error_map,
    short,
    write_pictures,
)
from segtrain.training.epoch import TensorBoard
from segtrain.training.run_folder import METRICS
from smearsynth.base.errors import UserError

CLASSES = Classes((0, 1, 2), ("background", "a", "b"), ("#000000", "#ff0000", "#12ab34"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    data = write_set(tmp_path_factory.mktemp("sets") / "tiny", train=8, val=9)
    short = ("model.width=2", "epochs=2", "batch=4")
    return fit(data, overrides=short, run=tmp_path_factory.mktemp("runs") / "run").run


def pixels_of(path: Path, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(Image.open(path).convert("RGB")) == colour).all(axis=2).sum())


def test_every_class_has_its_colour() -> None:
    table = colour_table(CLASSES)
    assert table[:3].tolist() == [[0, 0, 0], [255, 0, 0], [0x12, 0xAB, 0x34]]
    assert table[255].tolist() == [128] * 3


def test_an_error_has_the_colour_of_what_was_said_and_all_else_is_pale() -> None:
    truth = np.array([[0, 1, 2, 255]], np.uint8)
    prediction = np.array([[1, 1, 0, 2]], np.uint8)
    image = np.full((1, 4, 3), 100, np.uint8)
    errors = error_map(SampleResult("x", image, truth, prediction, 0.5), colour_table(CLASSES))
    assert errors[0, 0].tolist() == [255, 0, 0]
    assert errors[0, 2].tolist() == [0, 0, 0]
    for correct_or_ignored in (errors[0, 1], errors[0, 3]):
        assert len(set(correct_or_ignored.tolist())) == 1
        assert correct_or_ignored.min() > 180


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), min_size=1, max_size=20))
def test_both_ends_are_ordered_and_share_no_sample(scores: list[float]) -> None:
    found = [(score, number) for number, score in enumerate(scores)]
    best, worst = both_ends(found)
    numbers = [number for _, number in best + worst]
    assert len(numbers) == len(set(numbers)) == min(len(found), 8)
    values = [-1 if math.isnan(score) else score for score, _ in best + worst]
    assert values == sorted(values, reverse=True)
    ranked = sorted((-1 if math.isnan(score) else score for score in scores), reverse=True)
    assert values == ranked[: len(best)] + ranked[len(ranked) - len(worst) :]


def test_the_row_of_an_absent_class_is_grey(tmp_path: Path) -> None:
    full = np.array([[5, 1, 0], [2, 900, 0], [0, 4, 77_000]])
    grey = (217, 217, 217)
    draw_confusion(full, CLASSES.keys, tmp_path / "full.png")
    draw_confusion(full * [[1], [0], [1]], CLASSES.keys, tmp_path / "absent.png")
    assert pixels_of(tmp_path / "full.png", grey) < 50
    assert pixels_of(tmp_path / "absent.png", grey) > 5000


def test_the_gallery_shows_the_colours_of_truth_and_prediction(tmp_path: Path) -> None:
    truth, prediction = np.zeros((2, 20, 20), np.uint8)
    truth[:10], prediction[10:] = 1, 2
    shown = SampleResult("train-1", np.full((20, 20, 3), 200, np.uint8), truth, prediction, 0.3)
    draw_gallery([], [shown], CLASSES, tmp_path / "gallery.png")
    red, green = (pixels_of(tmp_path / "gallery.png", tuple(colour_table(CLASSES)[c])) for c in (1, 2))
    # Red: half of the truth. Green: half of the prediction, and the same half of the errors.
    assert 1.7 < green / red < 2.1


def test_curves_are_read_as_the_run_wrote_them(run: Path, tmp_path: Path) -> None:
    columns = read_columns(run / METRICS)
    assert columns["epoch"] == [1, 2]
    assert all(loss > 0 for loss in columns["val_loss"])
    draw_curves(columns, tmp_path / "curves.png")
    assert min(Image.open(tmp_path / "curves.png").size) > 500
    (tmp_path / "gaps.csv").write_text("epoch,val_miou\n1,\n2,nan\n", encoding="utf-8")
    assert all(math.isnan(value) for value in read_columns(tmp_path / "gaps.csv")["val_miou"])


@pytest.mark.parametrize("text", ["epoch,loss\n1,high\n", None])
def test_a_broken_table_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / METRICS
    if text:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.csv cannot be read"):
        read_columns(file)


@pytest.mark.parametrize("text", ["", "epoch,loss\n", "loss\n1\n", "\n"])
def test_a_table_without_an_epoch_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / METRICS).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"metrics\.csv holds no epoch; finish the run's first"):
        write_pictures(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [METRICS]


@pytest.mark.parametrize(
    ("pixels", "said"),
    [(7, "7"), (999, "999"), (1000, "1k"), (1234, "1.23k"), (999_499, "999k"), (999_600, "1M"), (999_999_999, "1G")],
)
def test_pixels_are_written_in_three_figures(pixels: int, said: str) -> None:
    assert short(pixels) == said


@pytest.mark.slow
def test_pictures_are_drawn_alike_every_time(run: Path) -> None:
    before = {name: np.asarray(Image.open(run / name)) for name in ("curves.png", "confusion.png", "gallery.png")}
    paths = write_pictures(run, progress=False)
    assert {path.name for path in paths} == before.keys()
    for path in paths:
        assert np.array_equal(np.asarray(Image.open(path)), before[path.name])


def test_pictures_are_computed_where_the_run_was_and_can_be_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(
        "segtrain.reporting.run_pictures.write_pictures",
        lambda _, device: asked.extend((device, signal.getsignal(signal.SIGINT))),
    )
    data = write_set(tmp_path / "tiny", train=4, val=2)
    fit(data, overrides=("model.width=2", "epochs=1", "device=cpu"), run=tmp_path / "run")
    assert asked == ["cpu", before]


@pytest.mark.skipif(not TensorBoard.installed(), reason="tensorboard is not installed")
def test_a_training_leaves_no_writer_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[TensorBoard] = []
    monkeypatch.setattr(TensorBoard, "close", lambda scalars: closed.append(scalars))
    data = write_set(tmp_path / "tiny", train=4, val=2)
    fit(data, overrides=("model.width=2", "epochs=1"), run=tmp_path / "run", pictures=False)
    assert len(closed) == 1


@pytest.mark.skipif(not TensorBoard.installed(), reason="tensorboard is not installed")
def test_tensorboard_shows_each_epoch_once_after_a_resume(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    killed = TensorBoard(tmp_path, epoch=1)
    for epoch, loss in ((1, 0.5), (2, 9.0)):
        killed.add({"epoch": epoch, "step": 10 * epoch, "lr": 0.1, "train_loss": loss, "val_iou_a": 0.25})
    killed.close()
    resumed = TensorBoard(tmp_path, epoch=2)
    resumed.add({"epoch": 2, "step": 20, "lr": 0.1, "train_loss": 0.25, "val_iou_a": 0.5})
    resumed.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss/train")] == [(1, 0.5), (2, 0.25)]
    assert [e.value for e in events.Scalars("iou_a/val")] == [0.25, 0.5]
    assert set(events.Tags()["scalars"]) == {"lr", "loss/train", "iou_a/val"}
