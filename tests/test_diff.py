"""diff: what two sets, or two recipes, do not have in common."""

import json
import shutil
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner
from small_set import RECIPE, prepare, small_build

import smearsynth
from smearsynth.base.errors import UserError
from smearsynth.base.json_values import Difference, differences, shown
from smearsynth.cli import main
from smearsynth.verbs.diff import ComparedSamples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, bank.h5, and `set`: four smears of each split but three of test."""
    path = tmp_path_factory.mktemp("diff")
    prepare(path)
    small_build(path, path / "set", limit=4)
    return path


def test_a_set_and_its_copy_are_the_same(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "set", tmp_path / "copy")
    found = smearsynth.diff(folder / "set", tmp_path / "copy")
    assert (found.same, found.recipe, found.index) == (True, (), ())
    assert found.samples == ComparedSamples(equal=11, unequal=0, only_a=0, only_b=0, first=())
    assert str(found).endswith("the same")


def test_sets_that_are_cut_otherwise_are_the_same(folder: Path, tmp_path: Path) -> None:
    small_build(folder, tmp_path / "set", "shards={samples: 3, codec: none}", "name=other", limit=4)
    found = smearsynth.diff(folder / "set", tmp_path / "set")
    assert found.same
    assert {d.path for d in found.recipe} == {"name", "shards.codec", "shards.samples"}
    assert {d.path.rpartition(".")[2] for d in found.index} == {"shards"}
    assert found.samples == ComparedSamples(equal=11, unequal=0, only_a=0, only_b=0, first=())


def test_looks_are_held_together_by_their_names(folder: Path, tmp_path: Path) -> None:
    small_build(folder, tmp_path / "set", "looks=[reference, natural]", limit=2)
    found = smearsynth.diff(folder / "set", tmp_path / "set")
    assert not found.same
    assert found.samples == ComparedSamples(equal=6, unequal=0, only_a=5, only_b=6, first=())
    assert Difference("splits.train.scenes", 4, 2) in found.index


def test_samples_that_differ_are_named(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder / "set", tmp_path / "set"))
    with h5py.File(other / "val-00000.h5", "r+") as shard:
        shard["digest"][2] = b"0" * 64
    found = smearsynth.diff(folder / "set", other)
    assert found.samples == ComparedSamples(equal=10, unequal=1, only_a=0, only_b=0, first=("val-00000002",))
    small_build(folder, tmp_path / "seed", "seed=1", limit=4)
    assert smearsynth.diff(folder / "set", tmp_path / "seed").samples.unequal == 11
    text = str(smearsynth.diff(folder / "set", tmp_path / "seed"))
    assert "recipe: seed is 0 in A and 1 in B" in text
    assert "11 differ: train-00000000, train-00000001" in text
    assert text.endswith(" ...\nnot the same")


def test_recipes_are_compared_with_their_defaults(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(f"{RECIPE}seed: 0\nscene: {{overlap: 0.31}}\npublish: true\n")
    found = smearsynth.diff(folder / "small.yaml", tmp_path / "b.yaml")
    assert {(d.path, d.new) for d in found.recipe} == {("scene.overlap", 0.31), ("publish", True)}
    assert (found.same, found.samples) == (False, None)
    (tmp_path / "c.yaml").write_text(f"{RECIPE}lock: c.lock\n")
    told = str(smearsynth.diff(folder / "small.yaml", tmp_path / "c.yaml"))
    assert told == 'recipe: lock is not set in A and "c.lock" in B\nnot the same'
    assert smearsynth.diff(folder / "small.yaml", folder / "small.yaml").same


def test_what_can_not_be_compared(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one is a folder and one is not"):
        smearsynth.diff(folder / "set", folder / "small.yaml")
    with pytest.raises(UserError, match=r"index\.json is missing: no dataset"):
        smearsynth.diff(folder / "set", tmp_path)
    with pytest.raises(UserError, match="is not there"):
        smearsynth.diff(folder / "small.yaml", tmp_path / "gone.yaml")


def test_the_command(folder: Path) -> None:
    result = CliRunner().invoke(main, ["diff", str(folder / "set"), str(folder / "set"), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["samples"]["equal"] == 11


def test_differences_by_path() -> None:
    old = {"a": [1, {"b": 2}], "c": {"d": None, "e": "x"}, "f": 1}
    new = {"a": [1, {"b": 3}, 4], "c": {"d": None, "e": "x"}, "g": {}}
    assert differences(old, new) == [("a[1].b", 2, 3), ("a[2]", None, 4), ("f", 1, None)]
    assert differences(old, old) == []
    assert len(shown("x" * 1000)) == 60
    assert shown("\x1b[2J\n") == '"\\u001b[2J\\n"'
