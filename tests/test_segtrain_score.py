"""Entries of a leaderboard: the same figures as `evaluate` and `baseline` give, whatever a prediction is written in."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from pycocotools import mask as coco_mask
from shard_set import write_set

import segtrain
from segtrain.cli import main
from segtrain.data.samples import Shards
from segtrain.evaluation.baseline import sure_logits
from segtrain.evaluation.set_evaluation import NamedTruth
from smearsynth.base.errors import UserError
from smearsynth.fields.otsu import otsu_cells

SAMPLES = 9
STATED = {"name": "ours", "external_data": "none", "pretraining": "none", "progress": False}
Maps = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("score") / "set", cells=True, size=(32, 40), train=8, test=SAMPLES)


@pytest.fixture(scope="module")
def shards(folder: Path) -> Shards:
    return Shards(folder, "test")


def maps(shards: Shards, predict: Callable[[int], np.ndarray]) -> Maps:
    return {shards.sample_id(i): predict(i) for i in range(len(shards))}


def guesses(shards: Shards) -> Maps:
    """The truth, a third of its pixels another class."""
    generator = np.random.default_rng(3)

    def guess(i: int) -> np.ndarray:
        label = shards.read(i)[1]
        return np.where(generator.random(label.shape) < 1 / 3, generator.integers(0, 10, label.shape), label % 255)

    return maps(shards, guess)


def as_folder(path: Path, predicted: Maps) -> Path:
    path.mkdir(exist_ok=True)
    for name, values in predicted.items():
        Image.fromarray(values.astype(np.uint16 if values.max() > 255 else np.uint8)).save(path / f"{name}.png")
    return path


def as_h5(path: Path, predicted: Maps) -> Path:
    with h5py.File(path, "w") as file:
        file["sample_id"], file["label"] = list(predicted), np.stack(list(predicted.values()))
    return path


def as_npz(path: Path, predicted: Maps) -> Path:
    np.savez(path, **predicted)
    return path


def as_arrays(path: Path, predicted: Maps) -> Path:
    np.savez(path, sample_id=np.array(list(predicted)), label=np.stack(list(predicted.values())))
    return path


def as_predicted(path: Path, predicted: Maps) -> Path:
    """As `segtrain predict` leaves them, beside what is to be looked at."""
    as_folder(path, {f"{name}_label": values for name, values in predicted.items()})
    return as_folder(path, {f"{name}_overlay": np.zeros_like(values) for name, values in predicted.items()})


WAYS = {"png": as_folder, "predict": as_predicted, "all.h5": as_h5, "each.npz": as_npz, "all.npz": as_arrays}


@pytest.mark.slow
def test_figures_are_the_same_whatever_a_prediction_is_written_in(folder: Path, shards: Shards, tmp_path: Path) -> None:
    predicted = guesses(shards)
    first, *others = (segtrain.score(way(tmp_path / name, predicted), folder, **STATED) for name, way in WAYS.items())
    assert 0.2 < first["miou"]["low"] < first["miou"]["value"] < first["miou"]["high"] < 0.8
    assert others == [first] * 4


def test_otsu_has_the_figures_that_baseline_gives(folder: Path, shards: Shards, tmp_path: Path) -> None:
    cell = 1 + int(Shards(folder, "train").pixels_per_class()[1:].argmax())
    otsu = maps(shards, lambda i: otsu_cells(np.ascontiguousarray(shards.read(i)[0])) * cell)
    figures, known = segtrain.score(as_npz(tmp_path / "a.npz", otsu), folder, **STATED), segtrain.baseline(folder)
    for key in ("miou", "pixel_accuracy", "foreground_dice"):
        assert figures[key]["value"] == known["otsu"][key]
    assert figures["reference_accuracy"] == known["otsu"]["reference_accuracy"]
    assert {key: row["iou"]["value"] for key, row in figures["per_class"].items()} == {
        key: row["iou"] for key, row in known["otsu"]["per_class"].items()
    }


def test_names_of_cells_are_those_that_evaluate_gives(folder: Path, shards: Shards, tmp_path: Path) -> None:
    predicted = guesses(shards)
    figures = segtrain.score(as_npz(tmp_path / "a.npz", predicted), folder, **STATED)["cells"]["names"]
    naming = NamedTruth(shards, torch.device("cpu"))
    for i, values in enumerate(predicted.values()):
        label = torch.from_numpy(shards.read(i)[1].copy())[None]
        naming.update(sure_logits(torch.from_numpy(values)[None].long(), 10), label, torch.tensor([i]))
    known = naming.figures()
    assert figures["white_cells"]["balanced_accuracy"]["value"] == pytest.approx(known["white_accuracy"])
    assert figures["infection"]["recall"]["value"] == pytest.approx(known["infected_recall"])
    assert figures["infection"]["false_alarms_per_1000"]["value"] == pytest.approx(known["false_alarms"])


def test_single_cells_are_counted_as_they_are_given(folder: Path, shards: Shards, tmp_path: Path) -> None:
    """Of the truth itself every cell is right; two cells given as one are one."""

    def coded(i: int) -> np.ndarray:
        label, instance = shards.read(i)[1].astype(int), shards.instance(i).astype(int)
        return np.where(instance > 0, 1000 * label + instance, 0)

    right = maps(shards, coded)
    objects = segtrain.score(as_folder(tmp_path / "a", right), folder, **STATED)["cells"]["objects"]
    assert (objects["f1"], objects["pq"], objects["count_error"]) == (1, 1, 0)
    merged = {name: np.where(values > 0, values // 1000 * 1000 + 1, 0) for name, values in right.items()}
    fewer = segtrain.score(as_h5(tmp_path / "b.h5", merged), folder, **STATED)["cells"]["objects"]
    kinds = [len(np.unique(values)) - 1 for values in merged.values()]
    assert (objects["true"], fewer["found"]) == (sum(int((np.unique(v) > 0).sum()) for v in right.values()), sum(kinds))


@pytest.mark.parametrize("numbered", [True, False])
def test_results_of_coco_are_cells_the_surest_on_top(
    folder: Path, shards: Shards, tmp_path: Path, numbered: bool
) -> None:
    """Run lengths by pycocotools; each cell once more, less sure, over the whole image and of another class."""
    results = []
    for i in range(len(shards)):
        label, instance = shards.read(i)[1], shards.instance(i)
        for number in np.unique(instance[instance > 0]):
            kind = int(label[instance == number][0])
            runs = coco_mask.encode(np.asfortranarray(instance == number))
            cell = {"image_id": i + 1 if numbered else shards.sample_id(i), "score": 0.9, "category_id": kind}
            results.append(cell | {"segmentation": runs | {"counts": runs["counts"].decode()}})
        hidden = np.asfortranarray(instance > 0)
        runs = coco_mask.encode(hidden)
        results.append(results[-1] | {"score": 0.1, "segmentation": runs | {"counts": runs["counts"].decode()}})
    (tmp_path / "results.json").write_text(json.dumps(results))
    figures = segtrain.score(tmp_path / "results.json", folder, **STATED)
    objects = figures["cells"]["objects"]
    assert (figures["miou"]["value"], objects["f1"], objects["pq"]) == (1, 1, 1)
    unsure = results[0] | {"category_id": 255, "score": 1}
    (tmp_path / "results.json").write_text(json.dumps([*results, unsure]))
    assert segtrain.score(tmp_path / "results.json", folder, **STATED)["miou"]["value"] == 1
    (tmp_path / "results.json").write_text(json.dumps([results[0] | {"image_id": 99}]))
    with pytest.raises(UserError, match=r"results\.json: \[0\]: 99 is no sample: give its id, or its number from 1"):
        segtrain.score(tmp_path / "results.json", folder, **STATED)
    scored, small = results[0], results[0]["segmentation"] | {"size": [20, 64]}
    for wrong, said in (
        ([scored | {"category_id": 0}], r"\[0\]: category_id 0 is no class of cells: they are numbered from 1"),
        ([scored] * 1000, "has 1,000 cells or more"),
        ([scored | {"segmentation": small}], r"has a mask of \(20, 64\), its image \(32, 40\)"),
    ):
        (tmp_path / "results.json").write_text(json.dumps(wrong))
        with pytest.raises(UserError, match=said):
            segtrain.score(tmp_path / "results.json", folder, **STATED)
    (tmp_path / "results.json").write_text(json.dumps([{"image_id": 1}]))
    with pytest.raises(UserError, match=r"results\.json cannot be read"):
        segtrain.score(tmp_path / "results.json", folder, **STATED)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p, ids: p.pop(ids[0]), "of the 9 samples of {set}, split test, 1 missing ({a})"),
        (lambda p, ids: p.update(other=p[ids[0]]), "1 too many (other)"),
        (
            lambda p, ids: p.update({ids[1]: p[ids[1]][:, :-1]}),
            "{b} has the shape (32, 39), its image (32, 40): predict at",
        ),
        (lambda p, ids: p.update({ids[1]: p[ids[1]] + 9}), "{b} holds 1"),
        (lambda p, ids: p.update({ids[1]: p[ids[1]] - 1}), "{b} holds -1, which is none of the classes 0 to 9"),
        (
            lambda p, ids: p.update({ids[1]: p[ids[1]] / 2}),
            "{b} holds float64: give whole numbers, the ids of the classes",
        ),
        (lambda p, ids: p.update({ids[1]: p[ids[1]] * 1000 + 7}), "{b} holds 7, which is none of the classes 0 to 9"),
    ],
)
def test_what_does_not_fit_is_named(
    folder: Path, shards: Shards, tmp_path: Path, change: Callable[[Maps, tuple[str, str]], object], sentence: str
) -> None:
    predicted, (a, b) = guesses(shards), (shards.sample_id(0), shards.sample_id(5))
    change(predicted, (a, b))
    with pytest.raises(UserError) as told:
        segtrain.score(as_npz(tmp_path / "a.npz", predicted), folder, **STATED)
    assert sentence.format(a=a, b=b, set=folder) in str(told.value)


def test_files_that_are_no_predictions_are_named(folder: Path, shards: Shards, tmp_path: Path) -> None:
    def said(path: Path) -> str:
        with pytest.raises(UserError) as told:
            segtrain.score(path, folder, **STATED)
        return str(told.value)

    assert "is not there: name a folder" in said(tmp_path / "gone.npz")
    (tmp_path / "empty").mkdir()
    assert "holds no predictions" in said(tmp_path / "empty")
    whole = as_npz(tmp_path / "a.npz", guesses(shards)).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:200])
    assert "cut.npz cannot be read" in said(tmp_path / "cut.npz")
    np.savez(tmp_path / "objects.npz", sample_id=np.array(["a", None]), label=np.zeros((2, 3, 3)))
    assert "objects.npz cannot be read" in said(tmp_path / "objects.npz")
    np.savez(tmp_path / "few.npz", sample_id=np.array(["a", "a"]), label=np.zeros((2, 3, 3)))
    assert "1 different names: give (N, height, width) and N names" in said(tmp_path / "few.npz")
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["sample_id"] = h5py.ExternalLink("elsewhere.h5", "x")
    assert "has no dataset sample_id of its own" in said(tmp_path / "odd.h5")
    pictures = as_folder(tmp_path / "pictures", guesses(shards))
    Image.new("RGB", (40, 32)).save(pictures / f"{shards.sample_id(0)}.png")
    assert "is a picture in colour: write ids of classes" in said(pictures)


@pytest.fixture(scope="module")
def entries(folder: Path, shards: Shards, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    out = tmp_path_factory.mktemp("entries")
    right, files = maps(shards, lambda i: shards.read(i)[1]), [out / "poor.json", out / "right.json"]
    for file, predicted in zip(files, (guesses(shards), right), strict=True):
        stated = STATED | {"name": file.stem, "link": "https://example.org/a"}
        segtrain.score(as_npz(out / "a.npz", predicted), folder, out=file, **stated)
    return files


def test_the_best_entry_stands_first_with_its_intervals(entries: list[Path], tmp_path: Path) -> None:
    text = segtrain.leaderboard(entries, out=tmp_path / "table.md")
    head, _, first, second = (line[2:-2].split(" | ") for line in text.splitlines())
    assert (first[0], second[0]) == ("[right](https://example.org/a)", "[poor](https://example.org/a)")
    assert first[head.index("mIoU")] == "1.0000 (1.0000 to 1.0000)"
    of_poor = json.loads(entries[0].read_text())
    assert second[head.index("cells, F1")] == f"{of_poor['cells']['objects']['f1']:.3f}"
    assert (tmp_path / "table.md").read_text() == text


def test_a_page_shows_no_markup_of_an_entry(entries: list[Path], tmp_path: Path) -> None:
    bad = json.loads(entries[0].read_text()) | {"name": "<script>x</script> | y"}
    (tmp_path / "bad.json").write_text(json.dumps(bad))
    text = segtrain.leaderboard([tmp_path / "bad.json"], out=tmp_path / "table.html")
    assert r"<script>x</script> \| y" in text
    page = (tmp_path / "table.html").read_text()
    assert "&lt;script&gt;x" in page
    assert "<script" not in page


def test_entries_that_do_not_belong_together_are_named(entries: list[Path], tmp_path: Path) -> None:
    entry = json.loads(entries[0].read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps(entry | {"set": entry["set"] | {"digest": "ff" * 32}}))
    with pytest.raises(UserError, match=r"other\.json was scored on set, split test \(ffff.*: compare entries"):
        segtrain.leaderboard([*entries, other])
    with pytest.raises(UserError, match="there is another entry of the name 'poor'"):
        segtrain.leaderboard([entries[0], entries[0]])
    other.write_text(json.dumps({"name": "x"}))
    with pytest.raises(UserError, match=r"other\.json is no entry that `segtrain score` wrote: external_data"):
        segtrain.leaderboard([other])
    with pytest.raises(UserError, match=r"written as \.md or \.html"):
        segtrain.leaderboard(entries, out=tmp_path / "table.pdf")


def test_the_commands_say_the_same(folder: Path, shards: Shards, entries: list[Path], tmp_path: Path) -> None:
    given = as_npz(tmp_path / "a.npz", guesses(shards))
    stated = ["--name", "poor", "--external-data", "none", "--pretraining", "none", "--link", "https://example.org/a"]
    done = CliRunner().invoke(main, ["score", str(given), str(folder), *stated, "--json"])
    assert json.loads(done.stdout) == json.loads(entries[0].read_text())
    shown = CliRunner().invoke(main, ["score", str(given), str(folder), *stated]).stdout
    assert f"{json.loads(done.stdout)['miou']['value']:.4f}" in shown
    assert "white-cell types, balanced" in shown
    table = CliRunner().invoke(main, ["leaderboard", *map(str, entries)]).stdout
    assert table == segtrain.leaderboard(entries)
