"""The layout of the Hugging Face hub, read by its own library; and images that are handed out without their labels."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from small_set import prepare, small_build

import segtrain
import smearsynth
from smearsynth.cli import main

COUNTS = {"train": 5, "val": 3, "test": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`set`, a few smears of each split."""
    path = tmp_path_factory.mktemp("hub")
    prepare(path)
    counts = "count={" + ", ".join(f"{split}: {count}" for split, count in COUNTS.items()) + "}"
    small_build(path, path / "set", counts)
    return path


def test_the_library_of_the_hub_reads_it_without_a_script(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="needs the library of the hub")
    out = tmp_path / "hub"
    assert smearsynth.export(folder / "set", format="huggingface", out=out, progress=False).samples == COUNTS
    head = yaml.safe_load((out / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert head["configs"][0]["data_files"][1] == {"split": "validation", "path": "data/validation/**"}
    read = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    smears = smearsynth.open(folder / "set")
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        assert len(read[name]) == COUNTS[split]
        by_id = {row["sample_id"]: row for row in read[name]}
        for smear in smears[split]:
            row = by_id[smear.id]
            for column in ("image", "label", "instance"):
                assert (np.asarray(row[column]) == getattr(smear, column)).all()
            assert [cell["instance"] for cell in row["objects"]] == list(range(1, len(smear.objects) + 1))


def test_what_is_handed_out_tells_nothing_and_is_scored_by_its_names(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "for-entrants"
    done = CliRunner().invoke(main, ["export", str(folder / "set"), "--without-labels", "test", "--out", str(out)])
    assert done.exit_code == 0, done.output
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    images = [name for name in files if name.startswith("test/")]
    assert sorted(set(files) - set(images)) == ["README.md", "export.json"]
    assert all(re.fullmatch(r"test/[0-9a-f]{16}\.png", name) for name in images)
    smears = smearsynth.open(folder / "set")["test"]
    pixels = {(out / name).stem: np.asarray(Image.open(out / name)) for name in images}
    label = {name: next(s.label for s in smears if (s.image == image).all()) for name, image in pixels.items()}
    assert len(label) == COUNTS["test"]
    # Neither a smear's id, nor what is in it, nor the seed.
    told = (out / "README.md").read_text() + (out / "export.json").read_text()
    assert not [smear.id for smear in smears if smear.id in told]
    assert "seed" not in told
    np.savez(tmp_path / "answers.npz", **label)
    stated = {"name": "peeped", "external_data": "all", "pretraining": "none", "progress": False}
    assert segtrain.score(tmp_path / "answers.npz", folder / "set", **stated)["miou"]["value"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("library", [[], ["--smp"]], ids=["plain", "smp"])
def test_the_starter_trains_and_its_answers_are_scored(folder: Path, tmp_path: Path, library: list[str]) -> None:
    if library:
        pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `smp`")
    smearsynth.export(folder / "set", format="images", split="test", out=tmp_path / "images", progress=False)
    words = [str(folder / "set"), str(tmp_path / "images" / "test"), str(tmp_path / "answers.npz"), "2", *library]
    starter = Path(__file__).parents[1] / "recipes" / "starter.py"
    subprocess.run([sys.executable, str(starter), *words], check=True, cwd=tmp_path)
    stated = {"name": "starter", "external_data": "none", "pretraining": "none", "progress": False}
    assert 0 <= segtrain.score(tmp_path / "answers.npz", folder / "set", **stated)["pixel_accuracy"]["value"] < 1


@pytest.mark.parametrize(
    "options", [[], ["--format", "png", "--without-labels", "test"], ["--split", "val", "--without-labels", "test"]]
)
def test_one_of_both_is_asked_for(folder: Path, tmp_path: Path, options: list[str]) -> None:
    done = CliRunner().invoke(main, ["export", str(folder / "set"), *options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "Give --format, or --without-labels" in done.stderr
    assert not (tmp_path / "out").exists()
