"""Training on a recipe: the smears are those of its set, each seen once, whoever makes them."""

import csv
import os
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

import segtrain
from segtrain.data.dataloader import Loader
from segtrain.data.recipe_smears import RecipeSmears
from segtrain.data.sampler import Budget
from segtrain.data.samples import INSTANCE, Shards
from segtrain.experiments.benchmark import table
from segtrain.networks import checkpoint
from segtrain.training.config import load_config
from segtrain.training.training_data import read_training_data
from smearsynth.base.errors import UserError
from smearsynth.base.workers import Companions, WorkerDiedError

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ("model.name=compact", "model.width=2", "epochs=2", "batch=4", "amp=off", "augment.flips=true", "workers=2")


def test_its_samples_are_those_of_the_set(built: Path) -> None:
    ours, shards = RecipeSmears(built / "small.yaml", "val", bank=str(built / "bank.h5")), Shards(built / "set", "val")
    assert (len(ours), len(shards)) == (5, 3)
    for name in ("size", "classes", "um_per_px", "most_cells", "groups"):
        assert getattr(ours, name) == getattr(shards, name), name
    assert [ours.has(name) for name in ("instance", "parasite")] == [True, False]
    first = np.arange(3)
    assert ours.pixels_per_class(first).tolist() == shards.pixels_per_class(first).tolist()
    for i in range(3):
        assert all(np.array_equal(a, b) for a, b in zip(ours.read(i), shards.read(i), strict=True))
        assert np.array_equal(ours.more_maps(i, [INSTANCE])[INSTANCE], shards.more_maps(i, [INSTANCE])[INSTANCE])
        assert np.array_equal(ours.objects(i), shards.objects(i))
        assert ours.sample_id(i) == shards.sample_id(i)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_smear_is_seen_once_whoever_makes_it(built: Path, workers: int) -> None:
    smears = RecipeSmears(built / "small.yaml", "train", bank=str(built / "bank.h5"), images=23)
    loader = Loader(smears, batch=4, shuffle=True, budget=Budget(23, 2), maps=[INSTANCE], workers=workers)
    batches = [*chain(loader.epoch(0), loader.epoch(1))]
    loader.close()
    assert sorted(np.concatenate([batch.number for batch in batches]).tolist()) == list(range(23))
    assert [len(batch.number) for batch in loader.epoch(0)] == [len(batch.number) for batch in batches[: len(loader)]]
    for batch in batches[:2]:
        for row, number in enumerate(batch.number.tolist()):
            sample = smears._smears[number]
            assert np.array_equal(batch.image[row].permute(1, 2, 0).numpy(), sample.image)
            assert np.array_equal(batch.label[row].numpy(), sample.label)
            assert np.array_equal(batch.instance[row].numpy(), sample.instance)
    loader.close()


def test_a_recipe_is_trained_on_for_as_many_images_as_are_asked_for(built: Path, tmp_path: Path) -> None:
    keys = (*TINY, f"bank={built / 'bank.h5'}")
    done = segtrain.fit(built / "small.yaml", overrides=(*keys, "images=14"), run=tmp_path / "run", pictures=False)
    assert done.figures["images"] == 14
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert [int(row["step"]) for row in rows] == [2, 4]
    endless = read_training_data(load_config(None, (*keys, f"data={built / 'small.yaml'}")))
    assert (len(endless), len(endless.held_out)) == (2 * 20, 5)
    # The run is one of other smears, and says so.
    other, more = written(built, tmp_path, "seed: 1"), (*keys, "images=14")
    with pytest.raises(UserError, match="the dataset: digest"):
        segtrain.fit(other, overrides=more, run=tmp_path / "run", resume=True)


def written(built: Path, folder: Path, line: str) -> Path:
    path = folder / "other.yaml"
    path.write_text(f"{(built / 'small.yaml').read_text()}{line}\n")
    return path


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (("resident=true",), r"^resident: takes a set on disk, and .*small\.yaml is a recipe"),
        (("fold={table: x.csv, number: 1}",), "^fold: takes a set on disk"),
        (("overfit=21",), "asks for 21 samples of 20"),
    ],
)
def test_what_only_a_set_can_give_is_refused(built: Path, tmp_path: Path, keys: tuple[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        segtrain.fit(built / "small.yaml", overrides=(*keys, f"bank={built / 'bank.h5'}"), run=tmp_path / "run")
    with pytest.raises(UserError, match=r"bank: .* is a set, which has its smears already"):
        segtrain.fit(built / "set", overrides=(f"bank={built / 'bank.h5'}",), run=tmp_path / "run")
    with pytest.raises(UserError, match=r"small\.yaml is a file, and here a set on disk is needed"):
        Shards(built / "small.yaml", "test")
    assert not (tmp_path / "run").exists()


def double_or_die(number: int) -> int:
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 7:
        raise UserError("seven")
    return 2 * number


def test_each_thread_has_a_process_that_ends_with_it() -> None:
    from concurrent.futures import ThreadPoolExecutor

    work = Companions(double_or_die)
    assert work(4) == 8
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(6))) == [0, 2, 4, 6, 8, 10]
        with pytest.raises(UserError, match="seven"):
            pool.submit(work, 7).result()
        processes = [worker.process for worker in Companions._crew if worker.process.is_alive()]
        with pytest.raises(WorkerDiedError, match="SIGKILL"):
            pool.submit(work, 13).result()
    until = time.monotonic() + 60
    while any(process.is_alive() for process in processes) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(process.is_alive() for process in processes)


@pytest.mark.slow
def test_the_share_of_smears_is_timed(built: Path) -> None:
    figures = segtrain.bench(built / "small.yaml", overrides=(*TINY, f"bank={built / 'bank.h5'}"), repeats=1)
    smears, loop = figures["smears"], figures["stages"]["loop"]["images_per_second"]
    assert smears["cores_for_loop"] * smears["per_core"] == pytest.approx(loop)
    assert smears["of_16_cores"] == pytest.approx(15 * smears["per_core"])
    assert smears["per_core"] > 0
    assert "one core makes" in table(figures)


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_weights(built: Path, tmp_path: Path) -> None:
    keys = (*TINY, f"bank={built / 'bank.h5'}", "images=40")
    straight = segtrain.fit(built / "small.yaml", overrides=keys, run=tmp_path / "straight", pictures=False).run
    words = [part for key in (*keys, "save_minutes=1e-9") for part in ("-s", key)]
    command = [sys.executable, "-m", "segtrain", "fit", str(built / "small.yaml"), "--run", str(tmp_path / "run")]
    process = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 300
    while not (tmp_path / "run" / "last.pt").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    state = checkpoint.load(tmp_path / "run" / "last.pt")
    assert 0 < state["epoch"] * 5 + state["step"] < 10, "it was killed under way"
    segtrain.fit(built / "small.yaml", run=tmp_path / "run", overrides=("save_minutes=9",), resume=True, pictures=True)
    one, other = (checkpoint.load(run / "last.pt")["model"] for run in (straight, tmp_path / "run"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (straight / "metrics.csv").read_bytes() == (tmp_path / "run" / "metrics.csv").read_bytes()
    assert list((tmp_path / "run").glob("*.png")), "the pictures are of its validation split, too"
