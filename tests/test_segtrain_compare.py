"""Comparisons: equal budgets, what a failing one costs the others, what is not done twice, and the table."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from shard_set import write_set

import segtrain
import segtrain.evaluation.field_sets
from segtrain.cli import main
from segtrain.experiments.compare import Compared, read_budget
from segtrain.experiments.comparison_table import read_candidates
from segtrain.reporting.curves import read_columns
from segtrain.training import loop
from segtrain.training.config import load_config
from segtrain.training.processes import TrainingStoppedError
from segtrain.training.run_folder import METRICS
from smearsynth.base.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sets of 16 and 12 training samples, configs for the first and for the second, and one that cannot train."""
    folder = tmp_path_factory.mktemp("compare")
    write_set(folder / "one", size=(16, 16), digest="ab" * 32, train=16, val=3, test=4)
    write_set(folder / "two", size=(16, 24), digest="cd" * 32, train=12, val=3, test=4)
    schedule = "schedule: {piecewise: {after: [1], factors: [0.1]}}\n"
    (folder / "plain.yaml").write_text(f"model: {{width: 2}}\nepochs: 2\nbatch: 8\n{schedule}")
    (folder / "wide.yaml").write_text("data: two\nmodel: {width: 3}\nepochs: 3\nbatch: 4\nschedule: {cosine: {}}\n")
    # Turns need square images, which the second set has not: it fails when it is put together.
    (folder / "turns.yaml").write_text("data: two\nmodel: {width: 2}\naugment: {quarter_turns: true}\n")
    return folder


def options(folder: Path, *names: str) -> dict[str, object]:
    return {
        "configs": [folder / f"{n}.yaml" for n in names],
        "data": folder / "one",
        "pictures": False,
        "progress": False,
    }


@pytest.fixture(scope="module")
def done(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("out") / "out"
    return segtrain.compare(**options(folder, "plain", "turns", "wide"), budget=f"images={IMAGES}", out=out)


def row_of(done: Compared, name: str) -> dict[str, object]:
    return next(row for row in done.rows if row["name"] == name)


class TestBudget:
    def test_every_training_sees_exactly_as_many_images(self, done: Compared) -> None:
        for name in ("plain", "wide"):
            assert row_of(done, name)["images"] == IMAGES
            with (done.out / name / "speed.csv").open() as file:
                assert sum(int(row["images"]) for row in csv.DictReader(file)) == IMAGES

    def test_a_schedule_keeps_its_course_over_the_budget(self, done: Compared) -> None:
        """Of two epochs the second has a tenth of the rate; the cosine of three ends near nothing."""
        plain, wide = (read_columns(done.out / name / METRICS) for name in ("plain", "wide"))
        assert plain["lr"] == pytest.approx([1e-3, 1e-4])
        # 50 images in 3 epochs: 5 steps each, the last of 15 on half a cosine of 10 after a warm-up of 5.
        assert wide["step"] == [5, 10, 15]
        assert wide["lr"][-1] == pytest.approx(1e-3 * (1 + np.cos(np.pi * 9 / 10)) / 2)

    @pytest.mark.slow
    def test_minutes_become_images_by_the_speed_that_was_measured(self, folder: Path, tmp_path: Path) -> None:
        done = segtrain.compare(**options(folder, "plain"), budget="minutes=0.004", out=tmp_path / "out")
        kept = json.loads((tmp_path / "out" / "budget.json").read_text())
        images = int(60 * 0.004 * kept["images_per_second"]["plain"])
        assert row_of(done, "plain")["images"] == max(images - images % 2, 2)
        assert load_config(tmp_path / "out" / "plain" / "config.yaml").images == row_of(done, "plain")["images"]

    @pytest.mark.parametrize(
        "text", ["images", "images=1.5", "images=0", "minutes=x", "hours=1", "minutes=-1", "minutes=nan"]
    )
    def test_what_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(UserError, match=r"give images=N, a whole number, or minutes=M"):
            read_budget(text)


class TestRows:
    def test_figures_are_those_of_evaluate_on_the_data_of_each(self, folder: Path, done: Compared) -> None:
        for name, data in (("plain", "one"), ("wide", "two")):
            figures, row = (
                segtrain.evaluate(done.out / name, folder / data, progress=False),
                row_of(done, name),
            )
            assert {key: row[key] for key in figures} == figures
            assert (row["data"], row["error"]) == (str(folder / data), None)
            summary = json.loads((done.out / name / "summary.json").read_text())
            assert row["parameters"] == summary["parameters"]

    def test_one_that_fails_says_why_and_keeps_none_from_its_training(self, done: Compared) -> None:
        assert done.failed == ["turns"]
        assert "augment.quarter_turns needs square images, these are 24 x 16 px" in row_of(done, "turns")["error"]
        text = (done.out / "results.md").read_text()
        assert "| turns: failed |" in text
        assert "- turns failed: augment.quarter_turns needs square images" in text

    def test_what_needs_no_network_stands_beside_it_for_each_set(self, folder: Path, done: Compared) -> None:
        found = [row for row in done.rows if row["name"] in ("Otsu's threshold", "majority class")]
        assert [(row["name"], Path(row["data"]).name) for row in found] == [
            (name, data) for data in ("one", "two") for name in ("Otsu's threshold", "majority class")
        ]
        by_itself = segtrain.baseline(folder / "two", progress=False)
        assert found[2]["foreground_dice"] == by_itself["otsu"]["foreground_dice"]
        assert found[3]["miou"] == by_itself["majority"]["miou"]

    def test_markdown_and_csv_tell_the_same(self, done: Compared) -> None:
        with (done.out / "results.csv").open() as file:
            flat = {(row["name"], Path(row["data"]).name): row for row in csv.DictReader(file)}
        lines = [line[2:-2].split(" | ") for line in str(done).splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines if "failed" not in line[0]}) == 1
        head = lines[0]
        for line in lines[2:]:
            if "failed" in line[0]:
                continue
            row = flat[line[0], line[1].strip("`")]
            assert line[head.index("mIoU")] == f"{float(row['miou']):.4f}"
            assert line[head.index("Healthy RBC")] == (
                f"{float(row['iou_healthy_rbc']):.3f}" if row["iou_healthy_rbc"] else ""
            )
        assert (done.out / "results.md").read_text() == str(done)
        assert "`one` (abababababab), `two` (cdcdcdcdcdcd); 50 images each" in str(done)

    def test_the_curves_are_one_picture(self, done: Compared) -> None:
        assert (done.out / "curves.png").read_bytes()[:4] == b"\x89PNG"


class TestFields:
    @pytest.mark.slow
    def test_real_fields_are_measured_as_evaluate_does_and_no_network_is_trained_again(
        self, folder: Path, done: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out, real = tmp_path / "out", tmp_path / "real"
        shutil.copytree(done.out, out)
        for part in ("named", "masks/img", "masks/mask"):
            (real / part).mkdir(parents=True)
        field = np.full((60, 80, 3), 230, np.uint8)
        field[20:45, 30:60] = (190, 90, 110)
        mask = np.zeros((60, 80), np.uint8)
        mask[20:45, 30:60] = 255
        for place, pixels in (("named", field), ("masks/img", field), ("masks/mask", mask)):
            Image.fromarray(pixels).save(real / place / "a.png")
        (real / "named" / "cells.csv").write_text("file,class,x,y,width,height\na.png,rbc,30,20,30,25\n")
        monkeypatch.setenv("WARD", str(real))
        file = tmp_path / "fields.yaml"
        file.write_text(
            "fields:\n  ward: {folder: '${WARD}/named', um_per_px: 0.2, classes: {rbc: healthy_rbc}}\n"
            "  masks: {folder: real/masks, um_per_px: 0.2}\n"
        )
        monkeypatch.setattr(loop, "train", lambda *_: pytest.fail("trained again"))
        given = options(folder, "plain") | {"budget": f"images={IMAGES}", "out": out, "resume": True, "fields": file}
        again = segtrain.compare(**given)
        shown = {"um_per_px": 0.2, "progress": False}
        figures = segtrain.evaluate(out / "plain", real / "named", classes={"rbc": "healthy_rbc"}, **shown)
        of_masks = segtrain.evaluate(out / "plain", real / "masks", **shown)
        assert row_of(again, "plain")["fields"] == {"ward": figures, "masks": of_masks}
        head, _, line = (out / "results.md").read_text().splitlines()[-3:]
        alarms = figures["infection"]["false_alarms_per_1000"]["value"]
        assert dict(zip(head.split(" | "), line.split(" | "), strict=True))["ward: false alarms per 1,000"] == (
            f"{alarms:.1f}"
        )
        with (out / "results.csv").open() as csv_file:
            flat = next(row for row in csv.DictReader(csv_file) if row["name"] == "plain")
        assert float(flat["masks: foreground Dice"] or "nan") == pytest.approx(of_masks["foreground_dice"], nan_ok=True)
        monkeypatch.setattr(segtrain.evaluation.field_sets, "evaluate", lambda *_, **__: pytest.fail("measured again"))
        assert segtrain.compare(**given).rows == again.rows
        file.write_text(file.read_text().replace("rbc: healthy_rbc", "rbc: infected_rbc"))
        with pytest.raises(pytest.fail.Exception, match="measured again"):
            segtrain.compare(**given)

    def test_what_is_wrong_in_their_file_is_told_at_once(self, folder: Path, tmp_path: Path) -> None:
        file = tmp_path / "fields.yaml"
        file.write_text("fields:\n  a: {folder: gone}\n  b: {folder: '${NO_SUCH}/x'}\n")
        with pytest.raises(UserError) as told:
            segtrain.compare(**options(folder, "plain"), out=tmp_path / "out", fields=file)
        first, second = str(told.value).splitlines()
        assert first.startswith(f"{file}:2: fields.a.folder: there is no folder {tmp_path}/gone")
        assert second.startswith(f"{file}:3: fields.b.folder: the environment variable NO_SUCH is not set")
        file.write_text("fields: {}\n")
        with pytest.raises(UserError, match="must hold at least 1"):
            segtrain.compare(**options(folder, "plain"), out=tmp_path / "out", fields=file)
        assert not (tmp_path / "out").exists()


class TestResume:
    @pytest.mark.slow
    def test_what_is_finished_is_not_trained_again_and_what_failed_is_tried_again(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = options(folder, "plain", "wide")
        given |= {"budget": "images=20", "out": tmp_path / "out"}
        train, begun = loop.train, []

        def stopped(t: object, wish: object) -> str:
            begun.append(t.run.path.name)
            if t.run.path.name == "wide":
                raise TrainingStoppedError("Stopped.")
            return train(t, wish)

        monkeypatch.setattr(loop, "train", stopped)
        with pytest.raises(TrainingStoppedError):
            segtrain.compare(**given)
        assert not (tmp_path / "out" / "results.md").exists()
        monkeypatch.setattr(loop, "train", lambda t, wish: begun.append(t.run.path.name) or train(t, wish))
        done = segtrain.compare(**given, resume=True)
        assert begun == ["plain", "wide", "wide"]
        assert not done.failed
        assert segtrain.compare(**given, resume=True).rows == done.rows

    @pytest.mark.slow
    def test_a_defect_in_one_is_in_its_log(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        train = loop.train

        def breaks(t: object, wish: object) -> str:
            if t.run.path.name == "plain":
                raise RuntimeError("sizes of tensors differ")
            return train(t, wish)

        monkeypatch.setattr(loop, "train", breaks)
        done = segtrain.compare(**options(folder, "plain", "wide"), budget="images=12", out=tmp_path / "out")
        assert row_of(done, "plain")["error"] == "RuntimeError: sizes of tensors differ"
        assert "Traceback" in (done.out / "plain" / "log.txt").read_text()
        assert row_of(done, "wide")["error"] is None

    def test_another_budget_or_a_full_folder_is_refused(self, folder: Path, done: Compared) -> None:
        with pytest.raises(UserError, match=r"was begun with the budget images=50"):
            segtrain.compare(**options(folder, "plain"), budget="images=60", out=done.out, resume=True)
        with pytest.raises(UserError, match=r"is not empty: resume its comparison.*\(resume, out\)"):
            segtrain.compare(**options(folder, "plain"), out=done.out)


class TestCandidates:
    def test_every_combination_of_what_is_varied(self, folder: Path) -> None:
        varied = ["optimiser.lr=1e-3,1e-5", "schedule={cosine: {warmup_epochs: 1}},{}"]
        found = read_candidates([folder / "plain.yaml"], varied=varied, overrides=["batch=2"], data=folder / "one")
        assert [c.name for c in found][1::2] == ["plain lr=0.001 schedule={}", "plain lr=1e-05 schedule={}"]
        configs = [c.config() for c in found]
        assert [(c.optimiser.lr, c.schedule.cosine is None, c.batch) for c in configs[:1] + configs[2:3]] == [
            (1e-3, False, 2),
            (1e-5, False, 2),
        ]

    def test_names_must_differ(self, folder: Path, tmp_path: Path) -> None:
        other = tmp_path / "plain.yaml"
        other.write_text("epochs: 3\n")
        with pytest.raises(UserError, match=r"would both be called 'plain'"):
            read_candidates([folder / "plain.yaml", other], varied=[], overrides=[], data=None)

    @pytest.mark.parametrize("text", ["optimiser.lr", "optimiser.lr=", "optimiser.lr=[1"])
    def test_what_varies_nothing_is_refused(self, folder: Path, text: str) -> None:
        with pytest.raises(UserError, match=r"must read key=value,value"):
            read_candidates([folder / "plain.yaml"], varied=[text], overrides=[], data=None)


def call(*arguments: object) -> object:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name configs, each by -c"),
        (["-c", "plain.yaml"], "names no `data:`, and none is given for all: give one of them (--data)"),
        (["-c", "wide.yaml", "--split", "none"], "has no samples in its split 'none'"),
        (["-c", "wide.yaml", "--budget", "images=2"], "2 cannot be shared by 3 epochs"),
        (["-c", "wide.yaml", "--budget", ""], "'' is no budget: give images=N"),
        (["-c", "wide.yaml", "-s", "epoch=2"], 'did you mean "epochs"'),
        (["-c", "wide.yaml", "--resume"], "holds no comparison to resume"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_written(
    folder: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    given = [folder / part if part.endswith(".yaml") else part for part in arguments]
    result = call(*given, "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_command_prints_the_table_and_ends_with_1_where_one_failed(folder: Path, tmp_path: Path) -> None:
    given = ["-c", folder / "wide.yaml", "-c", folder / "gone.yaml", "-s", "epochs=1", "--budget", "images=8"]
    result = call(*given, "--out", tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert result.stdout == (tmp_path / "out" / "results.md").read_text()
    assert "Failed: gone" in result.stderr
    assert "gone.yaml: is not there" in result.stdout
    assert (tmp_path / "out" / "wide" / "curves.png").is_file()
