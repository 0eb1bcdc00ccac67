"""Cross-validation: what is held out, that nothing leaks into it, and that a killed one ends like one that was not."""

import csv
import json
import statistics
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st
from image_folders import imported_patches
from shard_set import write_set

import segtrain
from segtrain.cli import main
from segtrain.data.folds import pooled
from segtrain.experiments.cross_validation import assign
from segtrain.networks import checkpoint
from segtrain.training import loop
from segtrain.training.config import load_config
from segtrain.training.training_data import read_training_data
from smearsynth.base.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ("model.width=2", "epochs=2", "batch=8", "augment.flips=true")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported_patches(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("runs") / "folds"
    return segtrain.cross_validate(data, folds=3, overrides=TINY, run=run, pictures=False).run


def image_of(data: Path) -> dict[str, str]:
    """The source image of every sample, as the import wrote it beside the shards."""
    with (data / "samples.csv").open() as file:
        return {row["sample_id"]: row["image"] for row in csv.DictReader(file)}


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "folds.csv").open() as file:
        return list(csv.DictReader(file))


class TestAssignment:
    def test_no_source_image_stands_in_two_folds_and_no_test_sample_in_any(self, data: Path, done: Path) -> None:
        image, fold = image_of(data), {row["sample_id"]: int(row["fold"]) for row in rows_of(done)}
        assert fold.keys() == {name for name in image if not name.startswith("test")}
        assert max(Counter(name for name, _ in {(image[s], f) for s, f in fold.items()}).values()) == 1
        assert sorted(Counter(fold.values()).items()) == [(1, 9), (2, 6), (3, 6)]

    @pytest.mark.slow
    @given(st.lists(st.integers(0, 12), min_size=40, max_size=90), st.integers(2, 5), st.integers(0, 99))
    def test_folds_are_whole_groups_about_equal_and_drawn_by_the_seed(
        self, groups: list[int], folds: int, seed: int
    ) -> None:
        assume(len(set(groups)) >= folds)
        found = assign(np.array(groups), folds, seed=seed)
        assert set(found.tolist()) == set(range(1, folds + 1))
        assert len({(g, f) for g, f in zip(groups, found.tolist(), strict=True)}) == len(set(groups))
        sizes, largest = Counter(found.tolist()), max(Counter(groups).values())
        assert max(sizes.values()) - min(sizes.values()) <= 2 * largest
        assert np.array_equal(found, assign(np.array(groups), folds, seed=seed))

    def test_another_seed_draws_another(self) -> None:
        assert len({tuple(assign(np.arange(12), 3, seed=seed).tolist()) for seed in range(5)}) > 1


class TestParts:
    def test_a_fold_learns_from_all_but_what_it_holds_out(self, done: Path) -> None:
        fold = {row["sample_id"]: row["fold"] for row in rows_of(done)}
        held_out = []
        for number in (1, 2, 3):
            parts = read_training_data(load_config(done / f"fold-{number}" / "config.yaml"))
            names = [{parts.shards.sample_id(i) for i in part} for part in (parts.training, parts.validation)]
            assert names[0] | names[1] == fold.keys()
            assert not names[0] & names[1]
            assert {fold[name] for name in names[1]} == {str(number)}
            held_out += sorted(names[1])
        assert sorted(held_out) == sorted(fold), "every sample is held out once"

    def test_classes_are_weighed_by_the_pixels_that_are_learnt_from(self, data: Path, done: Path) -> None:
        parts = read_training_data(load_config(done / "fold-2" / "config.yaml"))
        fold = {row["sample_id"]: row["fold"] for row in rows_of(done)}
        counted = np.zeros(2, np.int64)
        for path in (*data.glob("train-*.h5"), *data.glob("val-*.h5")):
            with h5py.File(path) as shard:
                for name, label in zip(shard["sample_id"].asstr()[:], shard["label"][:], strict=True):
                    counted += np.bincount(label[label < 2], minlength=2) * (fold[name] != "2")
        assert parts.pixels_per_class.tolist() == counted.tolist()


class TestSummary:
    def test_is_mean_and_deviation_of_the_runs_own_tables(self, done: Path) -> None:
        said = json.loads((done / "summary.json").read_text())
        tables = []
        for number in (1, 2, 3):
            with (done / f"fold-{number}" / "metrics.csv").open() as file:
                tables.append([float(row["val_miou"]) for row in csv.DictReader(file)])
        last = [table[-1] for table in tables]
        assert said["at_last"]["val_miou"]["mean"] == pytest.approx(statistics.mean(last))
        assert said["at_last"]["val_miou"]["sd"] == pytest.approx(statistics.stdev(last))
        accuracy = [fold["at_best"]["val_pixel_accuracy"] for fold in said["folds"]]
        assert said["at_best"]["val_pixel_accuracy"]["mean"] == pytest.approx(statistics.mean(accuracy))
        assert {"val_iou_background", "val_iou_cell"} <= said["at_best"].keys()
        assert (said["samples"], said["groups"], [f["held_out"] for f in said["folds"]]) == (21, 7, [9, 6, 6])
        text = (done / "summary.txt").read_text()
        assert "3 folds of 21 samples in 7 groups" in text
        assert f"{statistics.mean(last):.4f}" in next(line for line in text.splitlines() if line.startswith("mIoU"))

    def test_every_fold_is_a_run_with_its_usual_files(self, done: Path) -> None:
        files = {"config.yaml", "metrics.csv", "speed.csv", "summary.json", "last.pt", "best.pt", "log.txt"}
        assert all(files <= {f.name for f in (done / f"fold-{n}").iterdir()} for n in (1, 2, 3))


class TestResume:
    @pytest.mark.slow
    def test_one_that_was_stopped_ends_with_the_same_weights_and_what_is_done_is_left(
        self, data: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run, finish = tmp_path / "run", loop._finish_epoch
        left = iter([True, True, True, False])

        def killed(*arguments: object) -> None:
            if not next(left, True):
                raise KeyboardInterrupt
            finish(*arguments)

        monkeypatch.setattr(loop, "_finish_epoch", killed)
        with pytest.raises(KeyboardInterrupt):
            segtrain.cross_validate(data, folds=3, overrides=TINY, run=run, pictures=False)
        monkeypatch.setattr(loop, "_finish_epoch", finish)
        first = (run / "fold-1" / "last.pt").stat().st_mtime_ns
        assert not (run / "fold-3").exists()
        segtrain.cross_validate(data, folds=3, run=run, resume=True, pictures=False)
        assert (run / "fold-1" / "last.pt").stat().st_mtime_ns == first
        assert (run / "folds.csv").read_bytes() == (done / "folds.csv").read_bytes()
        for number in (1, 2, 3):
            one, other = (checkpoint.load(r / f"fold-{number}" / "last.pt")["model"] for r in (run, done))
            assert all(torch.equal(one[key], other[key]) for key in one)
        one, other = (json.loads((r / "summary.json").read_text())["at_best"] for r in (run, done))
        assert one == other

    def test_a_table_is_used_again_for_another_network(self, data: Path, done: Path, tmp_path: Path) -> None:
        keys = (*TINY, "seed=7", "model.width=1", "epochs=1")
        run = segtrain.cross_validate(
            data, folds=done / "folds.csv", overrides=keys, run=tmp_path / "run", pictures=False
        ).run
        assert (run / "folds.csv").read_bytes() == (done / "folds.csv").read_bytes()

    def test_another_division_is_refused(self, data: Path, done: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"other folds than the 2 asked for.*\(folds, run\)"):
            segtrain.cross_validate(data, folds=2, run=done, resume=True, pictures=False)
        moved = tmp_path / "folds.csv"
        text = (done / "folds.csv").read_text()
        moved.write_text(
            "".join(
                f"{line[:-1]}{dict(zip('123', '231', strict=True))[line[-1]]}\n" if i else f"{line}\n"
                for i, line in enumerate(text.splitlines())
            )
        )
        with pytest.raises(UserError, match=r"has changed since it began: division into folds"):
            segtrain.fit(
                data,
                config=done / "fold-1" / "config.yaml",
                overrides=(f"fold.table={moved}",),
                run=done / "fold-1",
                resume=True,
                pictures=False,
            )


def test_a_set_without_groups_is_refused_with_what_to_do_instead(tmp_path: Path) -> None:
    data = write_set(tmp_path / "built", size=(16, 16), train=6, val=3)
    with pytest.raises(UserError, match=r"record no group per sample.*another `seed`"):
        segtrain.cross_validate(data, folds=3, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_fold_is_not_measured_on_what_it_learnt_from(data: Path, done: Path) -> None:
    with pytest.raises(UserError, match=r"is of one fold, which learnt from samples of this set's split 'val'"):
        segtrain.evaluate(done / "fold-1", data, split="val", progress=False)
    assert segtrain.evaluate(done / "fold-1", data, progress=False)["miou"] >= 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace("fold\n", "fald\n", 1), "is no table of folds"),
        (lambda text: text.replace(",3\n", ",5\n"), "number two or more from 1 without gaps"),
        (lambda text: text.replace(",1\n", ",2\n", 1), "stands in several folds"),
        (lambda text: text.rsplit("\n", 2)[0] + "\n", "lacks the sample"),
        (lambda text: text + "train-00000099,0,1\n", "use its own table"),
        (lambda text: text.replace(",0,", ",77,"), "has it in another group"),
    ],
)
def test_a_table_that_is_none_of_this_set_is_named(
    data: Path, done: Path, tmp_path: Path, change: object, sentence: str
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(change((done / "folds.csv").read_text()))
    with pytest.raises(UserError, match=sentence) as caught:
        segtrain.cross_validate(data, folds=table, run=tmp_path / "run")
    assert str(table) in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--folds", 1], "two at least"),
        (["--folds", 8], "samples are of 7 groups"),
        (["--folds", "gone.csv"], "gone.csv cannot be read as a table of folds"),
        (["--folds", 3, "--overfit", 4], "overfit: chooses the samples"),
        (["--folds", 3, "--resume"], "holds no cross-validation to resume"),
    ],
)
def test_a_mistake_is_one_sentence(data: Path, tmp_path: Path, arguments: list[object], sentence: str) -> None:
    given = ["fit", data, *arguments, "--run", tmp_path / "run"]
    result = CliRunner().invoke(main, [str(part) for part in given])
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_command_prints_the_table(data: Path, tmp_path: Path) -> None:
    keys = [part for key in (*TINY, "epochs=1") for part in ("-s", key)]
    result = CliRunner().invoke(main, ["fit", str(data), "--folds", "2", "--run", str(tmp_path / "run"), *keys])
    assert result.exit_code == 0, result.output
    assert "2 folds of 21 samples in 7 groups" in result.stdout
    assert (tmp_path / "run" / "fold-2" / "curves.png").is_file()


def test_groups_are_those_of_the_shards(data: Path) -> None:
    shards = pooled(data)
    image = image_of(data)
    of_group = {(int(g), image[shards.sample_id(i)]) for i, g in enumerate(shards.groups)}
    assert len(of_group) == len({group for group, _ in of_group}) == len({name for _, name in of_group}) == 7
