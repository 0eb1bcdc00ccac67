"""The training loop: what it keeps, when it ends, what stops it; and that several processes are one training."""

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from shard_set import write_set
from torch import Tensor, nn

import segtrain
from segtrain.data.in_memory import InMemoryDataset
from segtrain.data.sampler import training_batches
from segtrain.data.samples import Shards
from segtrain.metrics.confusion import Confusion, scores
from segtrain.networks import checkpoint
from segtrain.training import loop
from segtrain.training.config import load_config
from segtrain.training.device import choose
from segtrain.training.epoch import FiniteGuard
from segtrain.training.processes import Ranks, StopSignal
from segtrain.training.run_folder import RunFolder, load_trained
from segtrain.training.setup import prepare
from smearsynth.base.errors import UserError, WorkError

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ("model.width=4", "model.norm=batch", "batch=4", "optimiser.lr=0.01", "workers=0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "tiny", size=(32, 32), train=20, val=6, test=1)


def rows(run: Path, name: str = "metrics.csv") -> list[dict[str, float]]:
    with (run / name).open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def begin(data: Path, run: Path, *overrides: str) -> loop.Training:
    config = load_config(None, [*TINY, *overrides, f"data={data}"])
    return prepare(config, RunFolder(run), Ranks(), resume=False)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six epochs at a rate that falls after the second, averaged weights, best by mIoU."""
    torch.set_num_threads(1)
    overrides = [*TINY, "epochs=6", "ema=0.8", "monitor=miou", "schedule.step={every: 2, gamma: 0.1}"]
    return segtrain.fit(data, overrides=overrides, run=tmp_path_factory.mktemp("runs") / "run", pictures=False).run


class TestRun:
    def test_a_row_for_every_epoch(self, run: Path) -> None:
        found = rows(run)
        assert [row["epoch"] for row in found] == [1, 2, 3, 4, 5, 6]
        assert [row["step"] for row in found] == [5, 10, 15, 20, 25, 30]
        assert [row["lr"] for row in found] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])
        assert [row["images"] for row in rows(run, "speed.csv")] == [20] * 6
        assert found[-1]["train_loss"] < found[0]["train_loss"]

    def test_the_best_epoch_by_the_monitor_is_kept(self, run: Path) -> None:
        watched = [row["val_miou"] for row in rows(run)]
        best = int(np.nanargmax(watched)) + 1
        assert load_trained(run).epoch == best
        assert load_trained(run, "last").epoch == 6
        summary = json.loads((run / "summary.json").read_text())
        assert (summary["best_epoch"], summary["best"]) == (best, max(watched))
        assert summary["data_digest"] == "ab" * 32
        assert summary["versions"]["torch"] == torch.__version__

    def test_the_network_that_is_loaded_has_the_figures_of_its_row(self, run: Path, data: Path) -> None:
        """A naive loop over the split with the averaged weights, against what the training wrote."""
        trained, shards = load_trained(run), Shards(data, "val")
        compute = choose(amp=trained.config.amp)
        model = compute.place(trained.model)
        confusion = Confusion(len(trained.classes))
        pairs = [shards.read(i) for i in range(len(shards))]
        with torch.inference_mode():
            for first in (0, 4):
                image = torch.from_numpy(np.stack([image for image, _ in pairs[first : first + 4]]))
                label = torch.from_numpy(np.stack([label for _, label in pairs[first : first + 4]]))
                confusion.update(compute.logits(model, image.permute(0, 3, 1, 2)), label)
        row, expected = rows(run)[trained.epoch - 1], scores(confusion.matrix)
        assert row["val_pixel_accuracy"] == expected["pixel_accuracy"]
        assert row["val_miou"] == expected["miou"]
        ious = [expected["per_class"][i]["iou"] for i in range(len(trained.classes))]
        assert [row[f"val_iou_{key}"] for key in trained.classes.keys] == pytest.approx(ious, nan_ok=True, abs=0)

    def test_it_says_which_path_it_takes(self, run: Path) -> None:
        said = (run / "log.txt").read_text()
        assert "channels last" in said
        assert ("bf16 products" if choose().bf16 else "fp32") in said

    def test_the_folder_holds_what_is_documented(self, run: Path) -> None:
        made = {file.name for file in run.iterdir()} - {"tensorboard"}
        files = "config.yaml metrics.csv speed.csv summary.json last.pt best.pt log.txt"
        assert made == set(files.split())


def test_it_says_which_classes_the_training_set_lacks(data: Path, tmp_path: Path) -> None:
    index = json.loads((data / "index.json").read_text())
    index["splits"]["train"]["pixels"] |= {"basophil": 0, "infected_rbc": 0}
    for file in data.glob("*.h5"):
        shutil.copy(file, tmp_path)
    (tmp_path / "index.json").write_text(json.dumps(index))
    begin(data, tmp_path / "whole")
    begin(tmp_path, tmp_path / "lacking")
    sentence = "the training set has no pixel of basophil, infected_rbc"
    assert [sentence in (tmp_path / name / "log.txt").read_text() for name in ("whole", "lacking")] == [False, True]


def test_a_set_that_is_held_in_memory_is_read_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    read: list[str] = []

    class Counting(InMemoryDataset):
        def __init__(self, shards: Shards, *args: Any, **options: Any) -> None:
            read.append(shards.split)
            super().__init__(shards, *args, **options)

    monkeypatch.setattr("segtrain.training.setup.InMemoryDataset", Counting)
    begin(data, tmp_path / "whole", "resident=true", "workers=null")
    assert read == ["train", "val"]
    begin(data, tmp_path / "few", "resident=true", "workers=null", "overfit=4")
    assert read == ["train", "val", "train"]


def test_early_stop_gives_its_reason(data: Path, tmp_path: Path) -> None:
    overrides = [*TINY, "epochs=9", "optimiser.lr=1e-9", "early_stop={patience: 2, min_delta: 0.5}"]
    figures = segtrain.fit(data, overrides=overrides, run=tmp_path / "run", pictures=False).figures
    assert figures["epochs"] == 3
    assert figures["finished"]
    assert "pixel_accuracy has not risen more than 0.5 above" in figures["reason"]


@pytest.mark.slow
def test_the_same_weights_for_any_number_of_workers_and_layout_of_memory(data: Path, tmp_path: Path) -> None:
    states = []
    for name, overrides in {"a": ["workers=0"], "b": ["workers=2"], "c": ["resident=true", "workers=null"]}.items():
        keys = [*TINY, "epochs=1", "augment={flips: true, quarter_turns: true}", *overrides]
        run = segtrain.fit(data, overrides=keys, run=tmp_path / name, pictures=False).run
        states.append(checkpoint.load(run / "last.pt")["model"])
    for state in states[1:]:
        assert all(torch.equal(state[key], states[0][key]) for key in state)


class TestFinite:
    def test_a_bad_step_and_all_after_it_leave_the_weights_alone(self) -> None:
        model = nn.Linear(2, 1)
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
        guard = FiniteGuard(model, optimiser, torch.device("cpu"))

        def step(factor: float) -> Tensor:
            model.zero_grad()
            loss = (model(torch.ones(1, 2)) * factor).sum()
            loss.backward()
            guard.watch(loss)
            optimiser.step()
            return model.weight.detach().clone()

        start = model.weight.detach().clone()
        good = step(1.0)
        assert not torch.equal(good, start)
        assert guard.good_steps == 1
        assert torch.equal(step(float("nan")), good)
        assert torch.equal(step(1.0), good)
        assert guard.good_steps == 1

    def test_a_gradient_that_overflows_counts_though_the_loss_does_not(self) -> None:
        model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(model.weight)
        optimiser = torch.optim.Adam(model.parameters(), fused=True)
        guard = FiniteGuard(model, optimiser, torch.device("cpu"))
        loss = (model(torch.full((1, 1), 3e38)) * 3e38).sum()
        loss.backward()
        guard.watch(loss)
        optimiser.step()
        assert torch.isfinite(loss)
        assert guard.good_steps == 0
        assert model.weight.item() == 0

    @pytest.mark.parametrize("steps_between_readings", [1, 20])
    def test_a_training_stops_before_the_step_and_says_where(
        self, data: Path, tmp_path: Path, steps_between_readings: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(loop.STEPS_BETWEEN_READINGS, "cpu", steps_between_readings)
        t = begin(data, tmp_path / "run", "epochs=2")
        healthy, before, calls = t.loss, {}, 0

        def poisoned(logits: Tensor, label: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            if calls == 3:
                before.update({key: value.clone() for key, value in t.model.named_parameters()})
            return healthy(logits, label) * (float("nan") if calls == 3 else 1.0)

        t.loss = poisoned
        with pytest.raises(WorkError) as caught:
            loop.train(t, StopSignal())
        numbers = training_batches(np.arange(20), 4, seed=0, epoch=0)[2]
        assert "not finite in epoch 1, step 3 of 5" in str(caught.value)
        assert ", ".join(f"train-{number:08d}" for number in numbers) in str(caught.value)
        assert all(torch.equal(value, before[key]) for key, value in t.model.named_parameters())
        assert not (tmp_path / "run" / "last.pt").exists()


def test_a_full_gpu_is_one_sentence(data: Path, tmp_path: Path) -> None:
    def full(*_: object, **__: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    t = begin(data, tmp_path / "run")
    t.loss = full
    with pytest.raises(WorkError, match="too little memory for a batch of 4 images in epoch 1: set a smaller `batch`"):
        loop.train(t, StopSignal())


class TestStop:
    @pytest.mark.parametrize("steps_between_readings", [1, 20])
    def test_a_wish_is_granted_at_the_next_step(
        self, data: Path, tmp_path: Path, steps_between_readings: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(loop.STEPS_BETWEEN_READINGS, "cpu", steps_between_readings)
        t = begin(data, tmp_path / "run", "epochs=2")
        wish = StopSignal()
        wish.by = "SIGTERM"
        with pytest.raises(WorkError, match=r"Stopped by SIGTERM in epoch 1 after step 1 of 5; saved in .*last\.pt"):
            loop.train(t, wish)
        state = checkpoint.load(tmp_path / "run" / "last.pt")
        assert (state["epoch"], state["step"]) == (0, 1)


class TestCompute:
    @pytest.mark.parametrize("amp", ["off", "bf16"])
    def test_logits_are_fp32_and_weights_stay_so(self, amp: str) -> None:
        compute = choose(amp=amp, device="cpu")  # type: ignore[arg-type]
        model = compute.place(nn.Conv2d(3, 2, 3, padding=1))
        image = torch.randint(256, (2, 8, 8, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        logits = compute.logits(model, image)
        pixels = image.float() / 127.5 - 1
        expected = nn.functional.conv2d(pixels, model.weight, model.bias, padding=1)
        assert logits.dtype == next(model.parameters()).dtype == torch.float32
        size = nn.functional.conv2d(pixels.abs(), model.weight.abs(), model.bias.abs(), padding=1)
        apart = (logits - expected).abs()
        # Two sums of 27 products and a bias, each step rounded by 2 ** -24 of it at most.
        exact = apart <= 2 * 28 * 2**-24 * size
        # bf16 rounds weights, inputs and the result by 2 ** -9.
        assert (exact if amp == "off" else apart <= 3.1 * 2**-9 * size).all()
        assert (amp == "off") == bool(exact.all()), "bf16 is really used"

    def test_off_is_fp32_and_said_so(self) -> None:
        assert "fp32, channels first" in str(choose(amp="off", channels_last=False, device="cpu"))

    def test_a_gpu_that_is_not_there_is_named(self) -> None:
        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
        with pytest.raises(UserError, match="device: cuda is asked for"):
            choose(device="cuda")


class TestRanks:
    def test_a_batch_must_be_shared_evenly(self, data: Path, tmp_path: Path) -> None:
        config = load_config(None, [*TINY, f"data={data}"])
        with pytest.raises(UserError, match="batch: 4 cannot be shared by 3 processes: make it a multiple of 3"):
            prepare(config, RunFolder(tmp_path / "run"), replace(Ranks(), world=3), resume=False)
        assert not (tmp_path / "run").exists()

    @pytest.mark.slow
    def test_two_processes_are_one_training(self, data: Path, tmp_path: Path) -> None:
        """Equal weights in both; and those of a single process, but for the order of sums."""
        script = tmp_path / "both.py"
        script.write_text(
            "import sys, torch\n"
            "from pathlib import Path\n"
            "from segtrain.training import loop\n"
            "from segtrain.training.config import load_config\n"
            "from segtrain.training.setup import prepare\n"
            "from segtrain.training.processes import joined\n"
            "from segtrain.training.run_folder import RunFolder\n"
            "from segtrain.training.processes import StopSignal\n"
            "with joined() as ranks:\n"
            "    t = prepare(load_config(None, sys.argv[2:]), RunFolder(Path(sys.argv[1])), ranks, resume=False)\n"
            "    loop.train(t, StopSignal())\n"
            "    torch.save(t.model.state_dict(), f'{sys.argv[1]}/rank{ranks.rank}.pt')\n"
        )
        # Without batch normalisation, whose statistics are of each process's share of the batch.
        keys = [*TINY, "model.norm=none", "optimiser.lr=1e-3", "amp=off", "epochs=2", f"data={data}"]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*torchrun, str(script), str(tmp_path / "two"), *keys], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        one = prepare(load_config(None, keys), RunFolder(tmp_path / "one"), Ranks(), resume=False)
        loop.train(one, StopSignal())
        first, second = (torch.load(tmp_path / "two" / f"rank{i}.pt", weights_only=True) for i in (0, 1))
        for key, value in one.model.state_dict().items():
            assert torch.equal(first[key], second[key])
            # Adam divides a gradient by its own size, so that of one near 0 rounding decides the sign: in each of ten
            # steps two weights may part by 2 lr. All others go the same way.
            apart = (first[key] - value).abs()
            assert apart.max() <= 10 * 2 * 1e-3
            assert (apart > 1e-5).double().mean() < 0.01
        # Of the pixels on the border of two classes a few may change sides, and of the rarest class they count most.
        pixels = Shards(data, "val").pixels_per_class()
        few = 5 / pixels[pixels > 0].min()
        for mine, theirs in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-3, abs=few, nan_ok=True)


@pytest.mark.slow
def test_it_learns_eight_smears_by_heart(tmp_path: Path) -> None:
    """Smears of drawn cells, built for this and small, since the network must see them 240 times; more than 99 % of
    their pixels right."""
    import smearsynth

    recipes = Path(__file__).parents[1] / "recipes"
    smears = smearsynth.build(
        recipes / "quickstart.yaml", out=tmp_path / "set", limit=8, overrides=["size=64"], workers=1
    )
    config = recipes / "fit" / "by_heart.yaml"
    figures = segtrain.fit(
        smears.out, config=config, overrides=("epochs=240",), run=tmp_path / "run", pictures=False
    ).figures
    assert figures["best"] > 0.99
