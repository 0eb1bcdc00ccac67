"""A build from a bank that is already made: what the recipe's lock and `publish` ask of it, what is known of it."""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from forged_set import write_index
from small_set import SOURCE, contents, prepare, small_build
from synthetic_bank import synthetic_bank

from smearsynth.bank.bank_file import load_bank, save_bank
from smearsynth.bank.make_bank import MadeBank
from smearsynth.base.errors import UserError
from smearsynth.recipe.reading import load_recipe
from smearsynth.sources import lisc
from smearsynth.sources.entry import Listing
from smearsynth.taxonomy import HEALTHY_RBC
from smearsynth.verbs.build import build
from smearsynth.verbs.preparation import tell_refusals

SOURCES = (
    "sources=[{kind: crops, root: x, name: alpha, redistribution: allowed}, "
    "{kind: crops, root: y, name: beta, redistribution: allowed}]"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """small.yaml, bank.h5, and r.lock of its files."""
    prepare(tmp_path)
    bank = load_bank(tmp_path / "bank.h5")
    rows = zip(bank.source, bank.paths, bank.sha256, strict=True)
    (tmp_path / "r.lock").write_text("".join(f"{sha}  {bank.sources[s]}/{path}\n" for s, path, sha in rows))
    return tmp_path


def small(folder: Path, name: str, *overrides: str, **options: object) -> Path:
    small_build(folder, folder / name, "count={val: 2}", *overrides, **options)
    return folder / name


def test_a_source_of_which_most_is_refused_stops_a_build_and_red_cells_around_do_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bank = synthetic_bank()  # 81 cells of each source, 9 of them healthy red cells
    refused = Counter({("alpha", 1, "cut"): 700, ("alpha", 1, "painted"): 28, ("beta", 1, "cut"): 648})
    refused["beta", HEALTHY_RBC, "cut"] = 7000
    listings = dict.fromkeys(bank.sources, Listing(facts=lisc.FACTS, entries=()))
    made = MadeBank(
        bank=bank,
        listings=listings,
        um_per_px=dict.fromkeys(bank.sources, 0.2),
        refusals=refused,
        refused=(),
        errors=(),
        pairs=(),
    )
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "sources: [{kind: crops, root: x, name: alpha, most_refused: 0.89},\n {kind: crops, root: y, name: beta, "
        "also: healthy_rbc}]"
    )
    tell_refusals(load_recipe(recipe, ["sources[0].most_refused=0.9"], roots=False), made, tell=True)
    assert capsys.readouterr().err.splitlines()[1::2] == [
        "90.0% of the 809 named cells of alpha were refused (cut 700, painted 28)",
        "90.0% of the 720 named cells of beta were refused (cut 648)",
    ]
    with pytest.raises(UserError, match=r"r\.yaml:1: sources\[0\]: 90\.0% of .* alpha .* `most_refused` of 0\.89"):
        tell_refusals(load_recipe(recipe, roots=False), made, tell=False)


def test_cells_of_a_source_that_the_recipe_does_not_name_are_not_published(folder: Path) -> None:
    one = "sources=[{kind: crops, root: x, name: alpha, redistribution: allowed}]"
    with pytest.raises(UserError, match=r"bank\.h5: holds cells of beta, which the recipe does not name"):
        small(folder, "set", "publish=true", one)
    assert not (folder / "set").exists()
    small(folder, "mine", one)
    small(folder, "set", "publish=true", SOURCES)


@pytest.mark.parametrize(
    ("old", "new"), [("0" * 64 + "  alpha/3.png", "1" * 64 + "  alpha/3.png"), ("  alpha/3.png", "  alpha/4.png")]
)
def test_a_bank_of_other_files_than_the_locks_is_refused(folder: Path, old: str, new: str) -> None:
    lock = folder / "r.lock"
    lock.write_text(lock.read_text().replace(old, new))
    with pytest.raises(UserError, match=r"bank\.h5: was cut from files that .*r\.lock does not hold .*: alpha/3\.png;"):
        small(folder, "set", "lock=r.lock")


def test_a_bank_of_quite_other_files_is_told_of_in_short(folder: Path) -> None:
    bank = load_bank(folder / "bank.h5")
    save_bank(replace(bank, sha256=("1" * 64,) * len(bank)), folder / "bank.h5")
    with pytest.raises(UserError, match=rf"and {len(bank) - 10} more; take a bank of this lock, or remove `lock`"):
        small(folder, "set", "lock=r.lock")


def test_the_lock_that_a_bank_was_held_against_is_kept_under_its_own_name(folder: Path) -> None:
    out = small(folder, "set", "lock=r.lock")
    assert (out / "sources.lock").read_bytes() == (folder / "r.lock").read_bytes()
    assert "lock: sources.lock\n" in (out / "recipe.resolved.yaml").read_text()
    assert "sources.lock" in {file["name"] for file in json.loads((out / "index.json").read_text())["files"]}
    told = {source["name"]: source for source in json.loads((out / "index.json").read_text())["sources"]}
    assert "title" not in told["alpha"]
    again = build(out / "recipe.resolved.yaml", out=folder / "again", bank=out / "cells.h5", workers=1, progress=False)
    assert again.digest == json.loads((out / "index.json").read_text())["digest"]


def test_what_the_recipe_states_is_told_of_a_bank_that_lies_alone(folder: Path) -> None:
    index = json.loads((small(folder, "set", "publish=true", SOURCES, "lock=r.lock") / "index.json").read_text())
    alpha, beta = index["sources"]
    lines = [line for line in (folder / "r.lock").read_text().splitlines(keepends=True) if "  beta/" in line]
    assert (beta["redistribution"], beta["files"]) == ("allowed", len(lines))
    assert beta["sha256"] == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert "um_per_px" not in alpha
    card = (folder / "set/README.md").read_text()
    assert "| alpha | alpha | not stated | not stated | allowed | not known |" in card


class TestBesideADataset:
    """A bank that lies in a dataset brings along what that dataset tells of its sources."""

    @pytest.fixture
    def told(self, folder: Path) -> Path:
        out = small(folder, "first", "lock=r.lock")
        index = json.loads((out / "index.json").read_text())
        index["sources"] = [{**SOURCE, "name": name} for name in ("alpha", "beta")]
        write_index(out, index)
        return out

    def test_another_build_from_it_tells_the_same(self, folder: Path, told: Path) -> None:
        out = small(folder, "second", bank=told / "cells.h5")
        first, second = (json.loads((path / "index.json").read_text()) for path in (told, out))
        assert second["sources"] == first["sources"]
        assert contents(out)["sources.lock"] == contents(told)["sources.lock"]
        assert "A ward's own cells" in (out / "README.md").read_text()

    def test_but_not_where_the_dataset_was_changed_or_is_of_another_bank(self, folder: Path, told: Path) -> None:
        (told / "index.json").write_text((told / "index.json").read_text().replace("ward's", "king's"))
        out = small(folder, "second", bank=told / "cells.h5")
        assert "king's" not in (out / "README.md").read_text()
        write_index(told, json.loads((told / "index.json").read_text()))
        save_bank(synthetic_bank(per_class=1, shrink=0.35), told / "cells.h5")
        out = small(folder, "third", bank=told / "cells.h5")
        assert "king's" not in (out / "README.md").read_text()

    def test_nor_a_lock_that_was_changed(self, folder: Path, told: Path) -> None:
        (told / "sources.lock").write_text("1" * 64 + "  alpha/0.png\n")
        assert not (small(folder, "second", bank=told / "cells.h5") / "sources.lock").exists()

    def test_a_set_is_built_anew_over_itself(self, folder: Path, told: Path) -> None:
        shutil.copytree(told, folder / "copy")
        small(folder, "copy", "lock=r.lock", bank=folder / "copy/cells.h5", overwrite=True)
        assert "A ward's own cells" in (folder / "copy/README.md").read_text()


def test_the_recipe_of_a_set_says_nothing_of_a_lock_where_it_had_none(folder: Path) -> None:
    assert "lock: null\n" in (small(folder, "set") / "recipe.resolved.yaml").read_text()
