"""replay: any sample of a set is made again from what the set holds, and what is not as it was is named."""

import json
import shutil
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner
from forged_set import forged_index
from PIL import Image
from small_set import prepare, small_build

import smearsynth
from smearsynth.bank.bank_file import load_bank
from smearsynth.base.errors import UserError
from smearsynth.cli import main
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.taxonomy import BY_KEY


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, bank.h5, and `set`: five smears of each split but three of test, in two looks, two shards each."""
    path = tmp_path_factory.mktemp("replay")
    prepare(path)
    small_build(path, path / "set", "looks=[natural, reference]", limit=5)
    return path


@pytest.fixture
def out(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "set", tmp_path / "set"))


@pytest.mark.parametrize("sample", ["train-00000000", "train-00000004@reference", "val-00000003", "test-00000002"])
def test_a_sample_is_made_again_with_its_plan(folder: Path, sample: str) -> None:
    made = smearsynth.replay(folder / "set", sample)
    assert (made.sample, made.differs) == (sample, ())
    assert made.look == ("reference" if "@" in sample else "natural")
    bank = load_bank(folder / "bank.h5")
    for path in (folder / "set").glob(f"{sample.split('-')[0]}-*.h5"):
        with h5py.File(path) as shard:
            if sample.encode() in shard["sample_id"][:]:
                row = shard["sample_id"][:].tolist().index(sample.encode())
                objects = shard["objects"][row][: shard["object_count"][row]]
    assert len(made.objects) == len(objects)
    for told, stored in zip(made.objects, objects.tolist(), strict=True):
        assert [BY_KEY[told["class"]].id, *(told[name] for name in OBJECT_FIELDS[1:])] == stored
        assert told["path"] == bank.paths[told["cell"]]
        assert told["source"] == bank.sources[bank.source[told["cell"]]]
    kinds = {told["class"] for told in made.objects}
    assert set(made.combination.split("/")[0].split("+")) - {"none"} == kinds - {"infected_rbc", "healthy_rbc"}


def test_what_is_not_as_it_was_made_is_named(out: Path) -> None:
    with h5py.File(out / "val-00000.h5", "r+") as shard:
        shard["label"][2, 5, 7] ^= 1
        shard["image"][2, 60, 9] ^= 3
        shard["image"][2, 61, 9, 1] ^= 3
        shard["objects"][2, 1, 2] += 5
    made = smearsynth.replay(out, "val-00000001")
    assert made.differs == (
        "image differs at 2 pixels, first at x=9, y=60",
        "label differs at 1 pixels, first at x=7, y=5",
        "objects differ in 1 rows, first in row 1",
    )
    assert smearsynth.replay(out, "val-00000000").differs == ()


def test_the_picture_shows_stored_and_made_beside_the_label(out: Path, tmp_path: Path) -> None:
    smearsynth.replay(out, "train-00000001", out=tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as page, h5py.File(out / "train-00000.h5") as shard:
        pixels = page.convert("RGB").load()
        assert page.width > 3 * 96
        for x, y in ((0, 0), (50, 40), (95, 71)):
            due = tuple(shard["image"][2, y, x].tolist())
            assert pixels[8 + x, 8 + y] == pixels[8 + 96 + 2 + x, 8 + y] == due


@pytest.mark.parametrize(
    "sample", ["train-00000005", "train-1", "train-00000001@natural", "train-00000001@x", "all-00000000", "", "\x1b[2J"]
)
def test_a_sample_that_is_not_there(folder: Path, sample: str) -> None:
    with pytest.raises(UserError, match="such as train-00000042@reference, and its scenes are train 5, val 5"):
        smearsynth.replay(folder / "set", sample)


def test_a_set_without_its_bank_and_one_of_another_generator(folder: Path, out: Path) -> None:
    (out / "cells.h5").unlink()
    with pytest.raises(UserError, match=r"without cells\.h5: name its bank.* \(bank\)"):
        smearsynth.replay(out, "train-00000001")
    assert smearsynth.replay(out, "train-00000001", bank=folder / "bank.h5").differs == ()
    with forged_index(out) as index:
        index["generator_version"] += 1
    with pytest.raises(UserError, match="replay with the smearsynth that made it"):
        smearsynth.replay(out, "train-00000001", bank=folder / "bank.h5")


def test_the_command(folder: Path) -> None:
    result = CliRunner().invoke(main, ["replay", str(folder / "set"), "train-00000002"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "train-00000002: image, label, instance and objects are as they are stored"
    assert lines[3].split()[:4] == ["class", "cell", "x", "y"]
    told = json.loads(CliRunner().invoke(main, ["replay", str(folder / "set"), "train-00000002", "--json"]).stdout)
    assert len(told["objects"]) == len(lines) - 4
    for line, row in zip(lines[4:], told["objects"], strict=True):
        key, cell, x, y, angle, flip, scale, *rest = line.split()
        assert [key, int(cell), int(flip), *rest] == [
            *(row[name] for name in ("class", "cell", "flip")),
            *(str(row[name]) for name in ("visible", "full", "source", "path")),
        ]
        assert [float(x), float(y)] == pytest.approx([row["cx"] / 256, row["cy"] / 256], abs=0.06)
        assert [int(angle), float(scale)] == pytest.approx([row["angle"] / 65536 * 360, row["scale"] / 65536], abs=0.51)
    red, green, blue = (value / 256 for value in told["light"]["glass"])
    assert lines[2].startswith(f"light: glass {red:.3g} {green:.3g} {blue:.3g}, ")
    wrong = CliRunner().invoke(main, ["replay", str(folder / "set"), "train-2"])
    assert (wrong.exit_code, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)
