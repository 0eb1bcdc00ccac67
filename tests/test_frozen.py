"""A set that its recipe calls frozen: who may claim its digest, who may not, and who must."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from forged_set import forged_index
from small_set import RECIPE as LARGER
from small_set import prepare, small_build
from synthetic_bank import synthetic_bank

from smearsynth.bank import bank_file
from smearsynth.base.config_file import ConfigError
from smearsynth.base.errors import WorkError
from smearsynth.cli import main
from smearsynth.recipe.reading import load_recipe
from smearsynth.shards.format import GENERATOR_VERSION
from smearsynth.verbs.build import BuildResult
from smearsynth.verbs.verify import verify

RECIPE = LARGER.replace("train: 20", "train: 6")
KEYS = ("format_version", "generator_version", "recipe_hash", "bank_digest", "digest")
OTHER = "0123456789abcdef" * 4
OTHERS = "This is not the frozen set of small, and does not claim its digest: "


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, bank.h5 and `set`."""
    path = tmp_path_factory.mktemp("frozen")
    prepare(path)
    (path / "small.yaml").write_text(RECIPE)
    small_build(path, path / "set")
    return path


@pytest.fixture
def frozen(folder: Path) -> dict[str, Any]:
    """What `frozen` says of the set, copied from its index."""
    index = json.loads((folder / "set/index.json").read_text())
    count = {split: part["scenes"] for split, part in index["splits"].items()}
    return {**{key: index[key] for key in KEYS}, "count": count}


def built(folder: Path, out: Path, frozen: dict[str, Any], *overrides: str, **options: Any) -> BuildResult:
    """A build of small.yaml with that claim."""
    (folder / "small.yaml").write_text(RECIPE + yaml.dump({"frozen": frozen}))
    return small_build(folder, out, *overrides, **options)


def index_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "index.json").read_text())


def test_the_same_set_claims_the_digest(folder: Path, tmp_path: Path, frozen: dict[str, Any]) -> None:
    result = built(folder, tmp_path / "set", frozen, "about={version: 1.0.0}")
    assert result.claim == "This is the frozen set of small: its digest is the one in the recipe."
    assert result.digest == frozen["digest"]
    assert index_of(tmp_path / "set")["claim"] == {"digest": frozen["digest"], "refused": [], "wrong": False}
    assert result.claim in (tmp_path / "set/README.md").read_text()
    assert json.loads((tmp_path / "set/croissant.json").read_text())["version"] == "1.0.0"
    assert verify(tmp_path / "set", progress=False).errors == ()


def test_without_a_frozen_set_nothing_is_claimed(folder: Path) -> None:
    assert index_of(folder / "set")["claim"] is None
    assert "frozen" not in (folder / "set/README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "overrides", "because"),
    [
        ({"generator_version": 1}, (), f"generator_version is {GENERATOR_VERSION} here and 1 there."),
        ({"format_version": 7}, (), "format_version is 1 here and 7 there."),
        ({}, ("count.val=6",), "count.val is 6 here and 5 there."),
        ({}, ("seed=1",), "recipe_hash is "),
        ({"bank_digest": OTHER}, (), "bank_digest is "),
        ({"digest": OTHER, "bank_digest": OTHER}, (), "bank_digest is "),
    ],
)
def test_another_set_does_not_claim_it_and_says_why(
    folder: Path, tmp_path: Path, frozen: dict[str, Any], changed: dict[str, Any], overrides: tuple[str], because: str
) -> None:
    result = built(folder, tmp_path / "set", {**frozen, **changed}, "about={version: 1.0.0}", *overrides)
    assert result.claim.startswith(OTHERS + because)
    assert ";" not in result.claim.removeprefix(OTHERS)
    assert result.claim in (tmp_path / "set/README.md").read_text()
    assert "version" not in json.loads((tmp_path / "set/croissant.json").read_text())
    assert verify(tmp_path / "set", progress=False).errors == ()


def test_another_bank_does_not_claim_it(folder: Path, tmp_path: Path, frozen: dict[str, Any]) -> None:
    bank_file.save_bank(synthetic_bank(per_class=1, shrink=0.35), tmp_path / "other.h5")
    result = built(folder, tmp_path / "set", frozen, bank=tmp_path / "other.h5")
    assert result.claim.startswith(OTHERS + "bank_digest is ")


@pytest.mark.slow
def test_a_set_claims_it_once_it_has_grown(folder: Path, tmp_path: Path, frozen: dict[str, Any]) -> None:
    part = built(folder, tmp_path / "set", frozen, limit=4)
    assert part.claim == OTHERS + "count.train is 4 here and 6 there; count.val is 4 here and 5 there."
    assert built(folder, tmp_path / "set", frozen, resume=True).claim.startswith("This is the frozen set of small")


def test_a_beginning_claims_its_own_digest_and_no_version(folder: Path, tmp_path: Path, frozen: dict[str, Any]) -> None:
    count = {"train": 3, "val": 3, "test": 3}
    digest = small_build(folder, tmp_path / "small", "count={train: 3, val: 3, test: 3}").digest
    begun = {**frozen, "beginnings": [{"count": count, "digest": digest}]}
    result = built(folder, tmp_path / "set", begun, "about={version: 1.0.0}", limit=3)
    assert result.claim == "This is the beginning of the frozen set of small: its digest is the one in the recipe."
    assert result.digest == digest
    assert "version" not in json.loads((tmp_path / "set/croissant.json").read_text())
    assert verify(tmp_path / "set", progress=False).errors == ()
    begun["beginnings"][0]["digest"] = OTHER
    with pytest.raises(WorkError, match=r"should be the beginning of the frozen set of small, .* digest is"):
        built(folder, tmp_path / "other", begun, limit=3)


def test_a_set_that_should_have_the_digest_and_has_not_is_a_failure(
    folder: Path, tmp_path: Path, frozen: dict[str, Any]
) -> None:
    for options in ({}, {"resume": True}):
        with pytest.raises(WorkError, match=r"set: This should be the frozen set of small, .* and is not: digest is"):
            built(folder, tmp_path / "set", {**frozen, "digest": OTHER}, **options)
    assert index_of(tmp_path / "set")["digest"] == frozen["digest"]
    assert "This should be the frozen set of small" in (tmp_path / "set/README.md").read_text()
    words = ["build", folder / "small.yaml", "--bank", folder / "bank.h5", "--out", tmp_path / "again", "--workers", 1]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert (result.exit_code, result.stdout) == (1, "")
    assert f'digest is "{frozen["digest"][:20]}' in result.stderr


@pytest.mark.slow
def test_the_command_line_tells_the_claim(folder: Path, tmp_path: Path, frozen: dict[str, Any]) -> None:
    built(folder, tmp_path / "set", frozen)
    words = ["build", str(folder / "small.yaml"), "--resume", "--out", str(tmp_path / "set"), "--workers", "1"]
    text, as_json = (CliRunner().invoke(main, [*words, *more]) for more in ([], ["--json"]))
    claim = "This is the frozen set of small: its digest is the one in the recipe."
    assert text.stdout.splitlines()[-1] == claim
    assert json.loads(as_json.stdout)["claim"] == claim


@pytest.mark.slow
def test_a_claim_that_somebody_made_up_is_a_fault(folder: Path, tmp_path: Path, frozen: dict[str, Any]) -> None:
    built(folder, tmp_path / "set", {**frozen, "generator_version": 1})
    with forged_index(tmp_path / "set") as index:
        index["claim"] = {"digest": index["digest"], "refused": [], "wrong": False}
    told = [str(error) for error in verify(tmp_path / "set", progress=False).errors]
    assert any(fault.startswith("recipe.resolved.yaml: claim.refused") for fault in told)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"digest": "abc"}, "frozen.digest: "),
        ({"count": {"train": 1, "val": 1}}, "frozen.count.test: "),
        ({"generator_version": None}, "frozen.generator_version: "),
        ({"made": 1}, "frozen.made: "),
    ],
)
def test_what_is_no_claim_is_a_fault_of_the_recipe(
    tmp_path: Path, frozen: dict[str, Any], changed: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE + yaml.dump({"frozen": {**frozen, **changed}}))
    with pytest.raises(ConfigError, match=sentence):
        load_recipe(tmp_path / "r.yaml", roots=False)
