"""A training that was killed and resumed ends like one that was not; one that would become another is refused."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mostly_slow import mostly_slow
from shard_set import write_set

import segtrain
from segtrain.networks import checkpoint
from segtrain.networks.efficientnet_lite import PACKAGE
from smearsynth.base.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = (
    "model.width=4",
    "epochs=3",
    "batch=4",
    "loss.cross_entropy.norm=sum",
    "optimiser.lr=0.01",
    "schedule.plateau.patience=1",
    "augment.flips=true",
    "augment.noise_range=[0,4]",
    "ema=0.9",
    "early_stop.patience=9",
    "model.norm=batch",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "tiny", size=(32, 32), train=40, val=6, test=1)


def set_off(data: Path, run: Path, *overrides: str, processes: int = 1, resume: bool = False) -> subprocess.Popen[str]:
    """A training in a process of its own, or in several of torchrun's."""
    keys = [part for override in (*TINY, *overrides) for part in ("-s", override)]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    # The two dashes: else torchrun takes --run for an option of its own.
    start = [*torchrun, "-m", "--"] if processes > 1 else ["-m"]
    command = [sys.executable, *start, "segtrain", "fit", str(data)]
    command += ["--run", str(run), *keys, *(["--resume"] if resume else [])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], file: Path) -> None:
    until = time.monotonic() + 120
    while not file.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    assert file.exists(), process.communicate()


def assert_equal_runs(one: Path, other: Path) -> None:
    for name in ("last.pt", "best.pt"):
        a, b = checkpoint.load(one / name), checkpoint.load(other / name)
        for part in ("model", "ema"):
            a_weights, b_weights = (s[part] if part == "model" else s[part]["model"] for s in (a, b))
            assert a_weights.keys() == b_weights.keys()
            assert all(torch.equal(a_weights[key], b_weights[key]) for key in a_weights), (name, part)
    assert (one / "metrics.csv").read_bytes() == (other / "metrics.csv").read_bytes()


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return segtrain.fit(data, overrides=TINY, run=tmp_path_factory.mktemp("runs") / "straight", pictures=False).run


class TestKilled:
    @pytest.mark.slow
    def test_within_an_epoch_it_goes_on_to_the_same_weights(self, data: Path, straight: Path, tmp_path: Path) -> None:
        """A checkpoint is written at every step here; the kill comes at some step of the first epoch."""
        run = tmp_path / "run"
        process = set_off(data, run, "save_minutes=1e-9")
        wait_for(process, run / "last.pt")
        process.kill()
        process.communicate()
        state = checkpoint.load(run / "last.pt")
        assert 0 < state["epoch"] * 10 + state["step"] < 30, "it was killed under way"
        segtrain.fit(data, run=run, overrides=("save_minutes=9",), resume=True, pictures=False)
        assert_equal_runs(straight, run)

    @pytest.mark.slow
    @pytest.mark.parametrize("model", ["model={name: deconvnet, width: 2}", "model={name: lite_unet}"])
    def test_dropout_draws_on_and_an_encoder_learns_on_where_it_was(
        self, data: Path, tmp_path: Path, model: str
    ) -> None:
        if "lite" in model:
            pytest.importorskip(PACKAGE, reason="needs the extra `pretrained`")
        straight = segtrain.fit(data, overrides=(*TINY, model), run=tmp_path / "straight", pictures=False).run
        process = set_off(data, tmp_path / "run", model, "save_minutes=1e-9")
        wait_for(process, tmp_path / "run" / "last.pt")
        process.kill()
        process.communicate()
        segtrain.fit(data, run=tmp_path / "run", overrides=("save_minutes=9",), resume=True, pictures=False)
        assert_equal_runs(straight, tmp_path / "run")

    @pytest.mark.slow
    @pytest.mark.parametrize("seconds", [0.0, 0.3])
    def test_at_any_moment(self, data: Path, straight: Path, tmp_path: Path, seconds: float) -> None:
        run = tmp_path / "run"
        process = set_off(data, run)
        wait_for(process, run / "config.yaml")
        time.sleep(seconds)
        process.kill()
        process.communicate()
        segtrain.fit(data, overrides=TINY, run=run, resume=True, pictures=False)
        assert_equal_runs(straight, run)

    @pytest.mark.slow
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_asked_to_stop_it_saves_says_so_and_goes_on(
        self, data: Path, straight: Path, tmp_path: Path, number: signal.Signals
    ) -> None:
        run = tmp_path / "run"
        process = set_off(data, run, "save_minutes=1e-9")
        wait_for(process, run / "last.pt")
        process.send_signal(number)
        _, said = process.communicate()
        assert process.returncode == 1
        assert f"Stopped by {number.name} in epoch" in said
        assert "Traceback" not in said
        assert "Stopped by" in (run / "summary.json").read_text()
        segtrain.fit(data, overrides=TINY, run=run, resume=True, pictures=False)
        assert_equal_runs(straight, run)


@pytest.mark.slow
class TestTwoProcesses:
    """The command of a single process, under torchrun."""

    def test_asked_to_stop_they_save_and_go_on_to_the_same_weights(self, data: Path, tmp_path: Path) -> None:
        straight, stopped = tmp_path / "straight", tmp_path / "stopped"
        done = set_off(data, straight, processes=2)
        _, said = done.communicate()
        assert done.returncode == 0, said
        asked = set_off(data, stopped, "save_minutes=1e-9", processes=2)
        wait_for(asked, stopped / "last.pt")
        asked.send_signal(signal.SIGTERM)
        _, said = asked.communicate()
        assert "Stopped by SIGTERM in epoch" in said
        state = checkpoint.load(stopped / "last.pt")
        assert 0 < state["epoch"] * 10 + state["step"] < 30, "they were stopped under way"
        resumed = set_off(data, stopped, "save_minutes=9", processes=2, resume=True)
        _, said = resumed.communicate()
        assert resumed.returncode == 0, said
        assert_equal_runs(straight, stopped)
        assert '"processes": 2' in (stopped / "summary.json").read_text()


class TestExtended:
    """More epochs, or more images, for a run that is finished."""

    def test_by_epochs_it_ends_like_one_that_was_begun_with_as_many(
        self, data: Path, straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its plateau looks at what is done, and at no end."""
        run = segtrain.fit(data, overrides=(*TINY, "epochs=2"), run=tmp_path / "run", pictures=False).run
        fitted = segtrain.fit(data, overrides=("epochs=3",), run=run, resume=True, pictures=False)
        assert "2 epochs become 3; the schedule does not depend on how many there are" in capsys.readouterr().err
        assert fitted.figures["images"] == 120
        assert_equal_runs(straight, run)

    @pytest.mark.parametrize("more", ["images=60", pytest.param("epochs=3", marks=pytest.mark.slow)])
    def test_its_epochs_keep_their_share_of_the_images(self, data: Path, tmp_path: Path, more: str) -> None:
        keys = (*TINY, "ema=null", "epochs=2", "images=40")
        run = segtrain.fit(data, overrides=keys, run=tmp_path / "run", pictures=False).run
        segtrain.fit(data, overrides=(more,), run=run, resume=True, pictures=False)
        state = checkpoint.load(run / "last.pt")
        assert (state["epoch"], state["rows"][-1]["step"]) == (3, 15)
        assert [state["identity"]["config"][key] for key in ("epochs", "images")] == [3, 60]
        with pytest.raises(UserError, match=r"images: 70 in 3 epochs are not whole epochs of .*run, which has 20"):
            segtrain.fit(data, overrides=("images=70",), run=run, resume=True, pictures=False)

    @pytest.mark.slow
    def test_killed_there_it_goes_on_to_the_same_weights(
        self, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        keys = ("epochs=2", "schedule.cosine.warmup_epochs=0")
        run, killed = tmp_path / "run", tmp_path / "killed"
        segtrain.fit(data, overrides=(*TINY, *keys), run=run, pictures=False)
        shutil.copytree(run, killed)
        segtrain.fit(data, overrides=("epochs=9",), run=run, resume=True, pictures=False)
        assert "the cosine is that of 9, so the learning rate goes on at 0.883" in capsys.readouterr().err
        process = set_off(data, killed, *keys, "epochs=9", "save_minutes=1e-9", resume=True)
        while process.poll() is None and checkpoint.load(killed / "last.pt")["epoch"] < 3:
            time.sleep(0.005)
        process.kill()
        said = process.communicate()
        assert checkpoint.load(killed / "last.pt")["epoch"] in range(3, 9), said
        segtrain.fit(data, run=killed, overrides=("save_minutes=9",), resume=True, pictures=False)
        assert_equal_runs(run, killed)


class TestRefused:
    def test_another_config_is_named(self, data: Path, straight: Path) -> None:
        overrides = ("batch=8", "model.width=8", "optimiser.lr=0.02")
        with pytest.raises(
            UserError, match=r"since it began: batch: 4, now 8; model\.width: 4, now 8; optimiser\.lr: 0\.01"
        ):
            segtrain.fit(data, run=straight, overrides=overrides, resume=True, pictures=False)

    def test_another_dataset_is_named(self, straight: Path, tmp_path: Path) -> None:
        other = write_set(tmp_path / "other", size=(32, 32), digest="ef" * 32, train=40, val=6, test=1)
        with pytest.raises(UserError, match="since it began: the dataset: digest abababababab, now efefefefefef"):
            segtrain.fit(other, run=straight, resume=True, pictures=False)

    def test_fewer_epochs_than_are_done_are_refused(self, data: Path, straight: Path) -> None:
        with pytest.raises(UserError, match=r"epochs: 2 are asked for, and .*straight is in epoch 3 already"):
            segtrain.fit(data, run=straight, overrides=("epochs=2",), resume=True, pictures=False)

    def test_what_decides_nothing_may_change(self, data: Path, straight: Path) -> None:
        before = (straight / "metrics.csv").read_bytes()
        segtrain.fit(data, run=straight, overrides=("workers=0", "save_minutes=5"), resume=True, pictures=False)
        assert (straight / "metrics.csv").read_bytes() == before

    def test_a_run_that_no_one_named_is_found_with_its_own_config(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        keys = ("model.width=2", "epochs=1", "batch=8")
        run = segtrain.fit(data, overrides=keys, pictures=False).run
        before = (run / "metrics.csv").read_bytes()
        assert run == Path("runs") / "tiny-unet_half"
        assert segtrain.fit(data, resume=True, pictures=False).run == run
        assert (run / "metrics.csv").read_bytes() == before

    def test_what_is_no_run_is_named(self, data: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"file is a file: name a folder \(run\)"):
            segtrain.fit(data, run=tmp_path / "file")
        (tmp_path / "config.yaml").write_text("model: {width: 2}\n")
        checkpoint.save(tmp_path / "last.pt", {"model": {}})
        with pytest.raises(UserError, match=r"last\.pt is no checkpoint of a training"):
            segtrain.fit(data, run=tmp_path, resume=True)

    def test_a_run_is_not_written_over(self, data: Path, straight: Path) -> None:
        with pytest.raises(UserError, match=r"straight is not empty: resume its run, .* \(resume, run\)"):
            segtrain.fit(data, run=straight)

    @pytest.mark.parametrize(
        "change",
        mostly_slow(
            ({"model": None},),
            ({"model": {}},),
            ({"optimiser": {"state": {}, "param_groups": []}},),
            ({"random": {}},),
            ({"random": None},),
            ({"totals": None},),
            ({"epoch": -1},),
            ({"epoch": 9},),
            ({"step": 10**9},),
            ({"rows": []},),
            ({"rows": [{"a": 1}] * 3},),
            ({"speeds": None},),
            ({"identity": None},),
            ({"identity": {"config": [], "data_digest": ""}},),
        ),
        ids=str,
    )
    def test_what_is_no_state_of_it_is_named(
        self, data: Path, straight: Path, tmp_path: Path, change: dict[str, object]
    ) -> None:
        shutil.copytree(straight, tmp_path / "run")
        last = tmp_path / "run" / "last.pt"
        checkpoint.save(last, checkpoint.load(last) | change)
        before = last.read_bytes()
        with pytest.raises(UserError, match=r"begin anew in another folder \(run\)") as caught:
            segtrain.fit(data, overrides=TINY, run=tmp_path / "run", resume=True, pictures=False)
        assert str(tmp_path / "run") in str(caught.value)
        assert "\n" not in str(caught.value)
        assert last.read_bytes() == before

    def test_there_must_be_a_run(self, data: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"holds no run that could be resumed"):
            segtrain.fit(data, overrides=TINY, run=tmp_path / "none", resume=True, pictures=False)
        assert not (tmp_path / "none").exists()

    def test_a_lost_state_is_not_begun_anew(self, data: Path, straight: Path, tmp_path: Path) -> None:
        shutil.copytree(straight, tmp_path / "run")
        last, best = tmp_path / "run" / "last.pt", tmp_path / "run" / "best.pt"
        last.unlink()
        checkpoint.save(best, checkpoint.load(best) | {"epoch": 2})
        with pytest.raises(UserError, match=r"last\.pt is missing"):
            segtrain.fit(data, overrides=TINY, run=tmp_path / "run", resume=True, pictures=False)

    @pytest.mark.slow
    def test_killed_between_its_first_two_states_it_begins_anew(
        self, data: Path, straight: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(straight, tmp_path / "run")
        last, best = tmp_path / "run" / "last.pt", tmp_path / "run" / "best.pt"
        last.unlink()
        checkpoint.save(best, checkpoint.load(best) | {"epoch": 1})
        segtrain.fit(data, overrides=TINY, run=tmp_path / "run", resume=True, pictures=False)
        due, found = (checkpoint.load(file)["model"] for file in (straight / "last.pt", last))
        assert due.keys() == found.keys()
        assert all(torch.equal(found[key], value) for key, value in due.items())
