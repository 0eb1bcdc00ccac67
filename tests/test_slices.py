"""Slices of a set, built apart or at the same time, and the index over them: the set of one undisturbed build."""

import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from small_set import contents, small_build

from smearsynth.bank import bank_file
from smearsynth.base.errors import UserError
from smearsynth.cli import main
from smearsynth.dataset import build_state, layout
from smearsynth.engines.build_plan import make_plan, name_slices, propose_slices, read_slice
from smearsynth.engines.shard_job import build_shard, finished_shard
from smearsynth.shards import format
from smearsynth.verbs.build import BuildResult, finish
from smearsynth.verbs.preparation import read_recipe
from smearsynth.verbs.preview import dry_run, forecast_text

SHARDS = ["train-00000.h5", "train-00001.h5", "train-00002.h5", "val-00000.h5", "test-00000.h5"]


def test_slices_and_finish_give_the_whole_build_in_every_byte(
    folder: Path, straight: BuildResult, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    later = small_build(folder, out, shards="2:9")
    assert (later.digest, later.smears, later.built) == ("", 6 + 5 + 3, 14)
    assert [path.name for path in layout.shards(out)] == SHARDS[2:]
    assert small_build(folder, out, shards="0:2", bank=None, workers=2).built == 14  # the bank lies there already
    assert not (out / layout.INDEX).exists()
    done = finish(out, progress=False)
    assert (done.digest, done.smears) == (straight.digest, 28)
    assert contents(out) == contents(straight.out)


def test_finish_changes_nothing_the_second_time(straight: BuildResult, copy: Path) -> None:
    finish(copy, progress=False)
    assert contents(copy) == contents(straight.out)


def test_finish_names_what_is_missing_and_the_command_that_builds_it(
    folder: Path, straight: BuildResult, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy.parent)
    for name in ("index.json", "train-00001.h5", ".smearsynth/train-00002.h5.json"):
        (copy / name).unlink()
    data = (copy / "test-00000.h5").read_bytes()
    (copy / "test-00000.h5").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UserError) as caught:
        finish("set", progress=False)
    sentence = str(caught.value)
    assert "3 of the 5 shards of set are missing or damaged (train-00001.h5, train-00002.h5, test-00000.h5)" in sentence
    assert not (copy / layout.INDEX).exists()
    command, slices = re.fullmatch(r".*by `smearsynth (.*) A:B` with A:B (.*)\.", sentence).groups()  # type: ignore[union-attr]
    words = shlex.split(command.replace("RECIPE", str(folder / "small.yaml")))
    assert slices == "1:3, 4:5"
    for numbers in slices.split(", "):
        result = CliRunner().invoke(main, [*words, numbers, "--workers", "1"])
        assert result.exit_code == 0, result.output
        assert "no index yet: smearsynth finish set" in result.stdout
    result = CliRunner().invoke(main, ["finish", "set"])
    assert result.exit_code == 0, result.output
    assert contents(copy) == contents(straight.out)
    assert result.stdout == f"28 smears in set\ndigest {finish('set', progress=False).digest}\n"


def test_finish_needs_a_set_of_this_version(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UserError, match="no set that was begun: build its slices first"):
            finish(path)
    before = contents(copy)
    monkeypatch.setattr("smearsynth.dataset.build_state.GENERATOR_VERSION", format.GENERATOR_VERSION + 1)
    with pytest.raises(UserError, match=r"generator_version is (\d+) there and \d+ now"):
        finish(copy)
    assert contents(copy) == before


def test_a_slice_of_a_whole_set_builds_nothing_and_keeps_its_index(folder: Path, copy: Path) -> None:
    before = contents(copy)
    assert small_build(folder, copy, shards="0:3").built == 0
    assert contents(copy) == before


@pytest.mark.slow
def test_slices_extend_a_set(folder: Path, straight: BuildResult, tmp_path: Path) -> None:
    out = tmp_path / "set"
    small_build(folder, out, limit=10)
    assert small_build(folder, out, shards="0:2").built == 7  # train-00001 was partial
    assert not (out / layout.INDEX).exists()
    small_build(folder, out, shards="2:5")
    finish(out, progress=False)
    assert contents(out) == contents(straight.out)


@pytest.mark.parametrize(
    ("override", "limit", "message"),
    [("seed=9", None, "seed is 0 there and 9 now"), ("seed=0", 8, "holds 14 scenes of train or more and only 8")],
)
def test_a_slice_of_another_set_is_refused(
    folder: Path, copy: Path, override: str, limit: int | None, message: str
) -> None:
    before = contents(copy)
    with pytest.raises(UserError, match=message):
        small_build(folder, copy, override, shards="0:1", limit=limit)
    assert contents(copy) == before


def test_slices_share_the_folder_with_each_other_and_with_nobody_else(
    folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "_PATIENCE", 0.1)
    monkeypatch.setattr(layout, "PATIENCE_OF_SLICES", 0.1)
    (copy / "train-00001.h5").unlink()
    with layout.locked(copy, shared=True):
        assert small_build(folder, copy, shards="1:2").built == 7
        before = contents(copy)
        for options in ({"resume": True}, {"overwrite": True}, {"shards": "0:9", "limit": 21}):
            count = "count={train: 21, val: 5, test: 3}" if "limit" in options else "count.train=20"
            with pytest.raises(UserError, match="Another build is writing"):
                small_build(folder, copy, count, **options)
        with pytest.raises(UserError, match="Another build is writing"):
            finish(copy)
    with layout.locked(copy), pytest.raises(UserError, match="Another build is writing"):
        small_build(folder, copy, shards="1:2")
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ("5:9", "the set has 5 shards, numbered from 0"),
        ("2:2", "give A:B with A < B"),
        ("3", "give A:B"),
        ("-1:2", "give A:B"),
        ("", "give A:B"),
    ],
)
def test_impossible_slices_are_refused_before_the_disk_is_touched(
    folder: Path, tmp_path: Path, shards: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        small_build(folder, tmp_path / "set", shards=shards)
    assert not (tmp_path / "set").exists()


def test_a_slice_never_overwrites(folder: Path, copy: Path) -> None:
    before = contents(copy)
    with pytest.raises(UserError, match=r"a slice overwrites nothing.*\(shards, overwrite, out\)"):
        small_build(folder, copy, shards="0:1", overwrite=True)
    assert contents(copy) == before


@pytest.mark.slow
def test_builders_of_one_folder_may_start_at_the_same_moment_and_build_the_same_shards(
    folder: Path, straight: BuildResult, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "smearsynth", "build", str(folder / "small.yaml"), "--workers", "1"]
    command += ["--out", str(tmp_path / "set"), "--bank", str(folder / "bank.h5"), "--shards"]
    slices = ["0:5", "0:5", "1:4"]
    builders = [subprocess.Popen([*command, numbers], stderr=subprocess.PIPE, text=True) for numbers in slices]
    for builder in builders:
        _, complaint = builder.communicate(timeout=600)
        assert builder.returncode == 0, complaint
    finish(tmp_path / "set", progress=False)
    assert contents(tmp_path / "set") == contents(straight.out)


def test_of_a_shard_that_two_build_at_once_the_last_is_marked_whatever_its_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / layout.STATE).mkdir()
    recipe = read_recipe(folder / "small.yaml", (), roots=False)
    plan = make_plan(recipe, bank_file.load_bank(folder / "bank.h5"), tmp_path)
    other, mark, pending = replace(plan, codec="gzip"), build_state.mark, ["other"]

    def mark_late(*args: object) -> None:
        """The other builder names and marks its shard between the first one's naming and marking."""
        if pending and pending.pop():
            build_shard(other, 0, lambda _: None)
        mark(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(build_state, "mark", mark_late)
    build_shard(plan, 0, lambda _: None)
    record = finished_shard(plan, 0)
    assert record is not None
    with h5py.File(tmp_path / record.name) as file:
        assert file["image"].compression == "gzip"


@pytest.mark.slow
def test_a_dry_run_proposes_slices_that_are_the_set(folder: Path, straight: BuildResult, tmp_path: Path) -> None:
    forecast = dry_run(folder / "small.yaml", bank=folder / "bank.h5", workers=2)
    assert forecast.slices == ("0:2", "2:4", "4:5")
    assert "shards   5; on several machines, as --shards 0:2, 2:4, 4:5" in forecast_text(forecast)
    for numbers in reversed(forecast.slices):
        small_build(folder, tmp_path / "set", shards=numbers)
    finish(tmp_path / "set", progress=False)
    assert contents(tmp_path / "set") == contents(straight.out)


@given(st.integers(1, 5000), st.integers(1, 64))
def test_proposed_slices_hold_every_shard_once_and_keep_every_worker_busy(shards: int, workers: int) -> None:
    slices = [read_slice(text, shards) for text in propose_slices(shards, workers)]
    assert [number for numbers in slices for number in numbers] == list(range(shards))
    assert len(slices) <= 8
    assert all(len(numbers) % workers == 0 for numbers in slices[:-1])


@given(st.sets(st.integers(0, 60)))
def test_named_slices_hold_just_the_shards_they_name(numbers: set[int]) -> None:
    named = name_slices(sorted(numbers))
    assert [number for text in named for number in read_slice(text, 61)] == sorted(numbers)
    assert len(named) == sum(number - 1 not in numbers for number in numbers)
