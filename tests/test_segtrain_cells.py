"""Cells and parasites in a training: learnt, measured and watched, and the parasite's probability at inference."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import imported_patches
from PIL import Image
from shard_set import write_set

from segtrain.counting.cell_measures import cells_of
from segtrain.counting.predict import predict
from segtrain.data.samples import Shards
from segtrain.evaluation.evaluate import evaluate
from segtrain.experiments.benchmark import bench
from segtrain.experiments.fit import fit
from segtrain.inference.exported_networks import program
from segtrain.inference.field_prediction import predict_field
from segtrain.inference.image_reader import ArrayReader
from segtrain.inference.ready_networks import load_networks
from segtrain.metrics.cell_naming import LEAST, CellNaming
from segtrain.networks.registry import show_parasite
from segtrain.training.run_folder import load_trained
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, INFECTED_RBC, WHITE_CELLS

pytestmark = pytest.mark.usefixtures("one_thread")

KEYS = [c.key for c in CLASSES]
TINY = ("model.name=compact", "model.width=8", "batch=4", "optimiser.lr=0.01", "workers=0", "amp=off")
BOTH = ("loss.cells={least: 20}", "loss.parasite={}", "model.parasite=true", "loss.dice={}")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Healthy and infected cells of one colour, but for their parasites, and two types of white cells."""
    root = tmp_path_factory.mktemp("sets") / "cells"
    return write_set(root, size=(48, 48), cells=True, shown=(1, 3, INFECTED_RBC, HEALTHY_RBC), train=40, val=8, test=6)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    overrides = [*TINY, *BOTH, "epochs=8", "ema=0.8", "monitor=infected_accuracy", "augment.flips=true"]
    return fit(data, overrides=overrides, run=tmp_path_factory.mktemp("runs") / "run", pictures=False).run


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def naive_report(data: Path, run: Path, split: str) -> dict[str, float]:
    """Cell by cell, from the definition."""
    shards, model = Shards(data, split), load_trained(run).model
    pairs = []
    for i in range(len(shards)):
        image, label = shards.read(i)
        with torch.no_grad():
            pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1
            probability = model(pixels)[0].double().softmax(dim=0).numpy()
        for number in np.unique(shards.instance(i))[1:]:
            inside = shards.instance(i) == number
            if inside.sum() >= LEAST:
                pairs.append((label[inside][0], 1 + probability[1:, inside].mean(axis=1).argmax()))
    true, name = np.array(pairs).T
    share = {k: np.mean(name[true == k] == k) for k in np.unique(true)}
    alarms = np.mean(name[true == HEALTHY_RBC] == INFECTED_RBC)
    return {
        "white_accuracy": np.mean([share[k] for k in WHITE_CELLS if k in share]),
        "infected_recall": share[INFECTED_RBC],
        "false_alarms": 1000 * alarms,
        "infected_accuracy": (share[INFECTED_RBC] + 1 - alarms) / 2,
    }


def test_cells_are_measured_one_by_one_and_the_best_epoch_is_theirs(data: Path, run: Path) -> None:
    figures, expected = evaluate(run, data, split="val"), naive_report(data, run, "val")
    assert {key: figures[key] for key in expected} == pytest.approx(expected)
    watched = [row["val_infected_accuracy"] for row in rows(run)]
    assert max(watched) == pytest.approx(expected["infected_accuracy"])
    assert max(watched) > 0.8


@pytest.mark.slow
def test_what_was_asked_for_beside_the_pixels_leaves_their_training_as_it_is(data: Path, tmp_path: Path) -> None:
    short = (*TINY, "epochs=2")
    plain, watching = (
        fit(data, overrides=[*short, *more], run=tmp_path / name, pictures=False).run
        for name, more in (("plain", ()), ("watching", ("monitor=white_accuracy",)))
    )
    one, other = (load_trained(run, "last").model.state_dict() for run in (plain, watching))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert "val_white_accuracy" not in rows(plain)[0]
    for before, after in zip(rows(plain), rows(watching), strict=True):
        np.testing.assert_array_equal([after[key] for key in before], list(before.values()))


def test_of_cells_of_no_kind_there_is_no_figure() -> None:
    naming = CellNaming(KEYS, 5)
    assert all(math.isnan(value) for value in naming.report().values())
    label = torch.full((1, 8, 8), HEALTHY_RBC)
    instance = torch.ones(1, 8, 8, dtype=torch.int32)
    logits = 9.0 * torch.nn.functional.one_hot(torch.full((1, 8, 8), INFECTED_RBC), 10).movedim(-1, 1)
    naming.update(logits, label, instance)
    naming.update(logits, label, torch.where(torch.arange(8) < 7, instance, 0))  # 56 px: a sliver
    assert naming.matrix.sum() == 1
    assert naming.report()["false_alarms"] == 1000
    assert math.isnan(naming.report()["infected_recall"])


class TestParasite:
    def test_it_is_marked_where_it_is_and_shown_to_those_who_ask(self, data: Path, run: Path) -> None:
        trained, shards = load_trained(run), Shards(data, "test")
        image, _ = shards.read(0)
        pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            classes = trained.model(pixels)
            assert show_parasite(trained.model)
            both = trained.model(pixels)
        assert torch.equal(both[:, :10], classes)
        assert both.shape[1] == 11
        masks = np.stack([shards.more_maps(i, ["parasite"])["parasite"] for i in range(len(shards))])
        networks = load_networks([run], which="last", device="cpu")
        found = networks(np.stack([shards.read(i)[0] for i in range(len(shards))]))
        np.testing.assert_allclose(found[:, :10].sum(axis=1), 1, atol=1e-5)
        marked = found[:, 10] > 0.5
        dice = 2 * marked[masks == 1].sum() / (marked[masks != 255].sum() + (masks == 1).sum())
        assert dice > 0.7

    def test_a_field_tells_the_parasite_of_each_cell_and_it_speaks_for_infected(self, data: Path, run: Path) -> None:
        image, _ = Shards(data, "test").read(0)
        seen = predict_field(load_networks([run]), ArrayReader(image, "field"), 0.2, evidence=True)
        assert seen.parasite is not None
        cells, unmarked = cells_of(seen), cells_of(replace(seen, parasite=None))
        np.testing.assert_array_equal(cells.map, unmarked.map)
        for cell, other in zip(cells.cells, unmarked.cells, strict=True):
            inside = seen.parasite[cells.map == cell.number]
            assert cell.parasite_um2 == pytest.approx(inside.sum() / 255 * 0.04)
            assert other.parasite_um2 is None
            if cell.infected_odds is not None:
                assert other.infected_odds is not None
                more = cell.infected_odds - other.infected_odds
                assert more == pytest.approx(0.5 * np.log(min(cell.parasite_um2, 4) + 0.05))

    def test_it_is_no_class_of_a_map(self, data: Path, tmp_path: Path) -> None:
        marks = (*TINY, "loss.parasite={}", "model.parasite=true", "epochs=1")
        only = fit(data, overrides=marks, run=tmp_path / "run", pictures=False).run
        Image.fromarray(Shards(data, "test").read(0)[0]).save(tmp_path / "a.png")
        predict(only, [tmp_path / "a.png"], out=tmp_path / "out", um_per_px=0.2, probability=True)
        probability = np.load(tmp_path / "out/a_probability.npy").astype(np.float32)
        label = np.asarray(Image.open(tmp_path / "out/a_label.png"))
        assert probability.shape == (*label.shape, 10)
        np.testing.assert_allclose(probability.sum(axis=2), 1, atol=5e-3)
        assert label.max() < 10
        sure = np.diff(np.sort(probability)[..., -2:])[..., 0] > 0.01
        np.testing.assert_array_equal(label[sure], probability.argmax(axis=2)[sure])

    @pytest.mark.slow
    def test_whoever_exports_it_gets_the_classes(self, run: Path) -> None:
        model = load_trained(run).model
        image = torch.randint(256, (1, 3, 64, 96), dtype=torch.uint8)
        found = program(model).module()(image)
        torch.testing.assert_close(found, model(image.float() / 127.5 - 1).softmax(dim=1))


class TestRefused:
    @pytest.mark.parametrize(
        ("overrides", "said"),
        [
            (("loss.cells={}",), r"loss\.cells: .* does not say which pixels are of one cell.*: remove it"),
            (("monitor=white_accuracy",), r"monitor: .* does not say .*: watch another figure"),
            (("loss.parasite={}", "model.parasite=true"), r"loss\.parasite: .* has no parasite masks"),
        ],
    )
    def test_a_set_without_the_map_is_named(self, overrides: tuple[str, ...], said: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=said):
            fit(imported_patches(tmp_path), overrides=(*TINY, *overrides), run=tmp_path / "run")
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_bench_times_them_too() -> None:
    figures = bench(overrides=(*TINY, *BOTH, "batch=1"), repeats=1)
    assert figures["stages"]["step"]["images_per_second"] > 0
