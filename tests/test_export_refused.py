"""Exports that may not be or are cut short, and of sets that are damaged, forged, imported, not for publication."""

import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from forged_set import forged_index
from PIL import Image
from small_set import contents, prepare, small_build

import smearsynth
from smearsynth.base.errors import UserError
from smearsynth.cli import main
from smearsynth.dataset import layout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`set`, four smears at most of each split, in one shard of each."""
    path = tmp_path_factory.mktemp("export")
    prepare(path)
    small_build(path, path / "set", limit=4)
    return path


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "set", tmp_path / "set"))


def export(dataset: Path, out: Path, kind: str = "png", **options: object) -> None:
    smearsynth.export(dataset, format=kind, out=out, workers=1, progress=False, **options)


def refused(dataset: Path, out: Path, match: str, **options: object) -> None:
    """The export is refused with a sentence, and `out` is as it was."""
    before = contents(out) if out.exists() else None
    with pytest.raises(UserError, match=match):
        export(dataset, out, **options)
    assert (contents(out) if out.exists() else None) == before


class TestTarget:
    def test_a_folder_of_others_is_left_alone(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        refused(folder / "set", tmp_path, "not empty and no export made it", overwrite=True)
        refused(folder / "set", tmp_path / "notes.txt", "is a file")
        refused(folder / "set", folder / "set", "not empty and no export made it", overwrite=True)
        refused(folder / "set", folder / "set" / "png", "lies in the dataset itself")

    @pytest.mark.slow
    def test_an_export_is_replaced_only_if_that_is_asked_for(self, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "deep" / "out"
        export(folder / "set", out)
        refused(folder / "set", out, "holds an export: overwrite it")
        (out / "notes.txt").write_text("mine")
        refused(folder / "set", out, "holds notes.txt, which no export made", overwrite=True)
        (out / "notes.txt").unlink()
        export(folder / "set", out, "webdataset", overwrite=True)
        export(folder / "set", tmp_path / "fresh", "webdataset")
        assert contents(out) == contents(tmp_path / "fresh")

    def test_one_writes_at_a_time(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(layout, "_PATIENCE", 0.0)
        (tmp_path / "out" / layout.STATE / "export").mkdir(parents=True)
        with layout.locked(tmp_path / "out", work="export"):
            refused(folder / "set", tmp_path / "out", "Another export is writing")

    @pytest.mark.slow
    def test_an_export_that_was_killed_has_given_no_names(self, folder: Path, tmp_path: Path) -> None:
        dataset, out = tmp_path / "large", tmp_path / "out"
        small_build(folder, dataset, "count={train: 150, val: 1, test: 1}")
        export(dataset, tmp_path / "twin")
        words = [sys.executable, "-m", "smearsynth", "export", str(dataset), "--format", "png", "--out", str(out)]
        while True:  # until the blow falls before the export is done
            process = subprocess.Popen([*words, "--overwrite"], stdout=subprocess.DEVNULL)
            while not (out / layout.STATE / "export" / "train" / "samples.csv").exists() and process.poll() is None:
                time.sleep(0.001)
            process.kill()
            if process.wait() != 0:
                break
            shutil.rmtree(out)
        assert [path.name for path in out.iterdir()] == [layout.STATE]
        export(dataset, out)
        assert contents(out) == contents(tmp_path / "twin")

    def test_what_fails_leaves_nothing_and_an_older_export_as_it_was(self, copy: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        export(copy, out)
        with h5py.File(copy / "test-00000.h5", "r+") as shard:
            shard["label"][2, 3, 4] ^= 1
        refused(copy, out, "test-00000.h5: its sha256 is not the one in index.json", overwrite=True)
        refused(copy, tmp_path / "new", "test-00000.h5: its sha256")
        assert not (tmp_path / "new").exists()
        export(copy, tmp_path / "part", split="train")


class TestFullDisk:
    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Path]:
        """A folder on a file system of its own, of 200 kB."""
        path = tmp_path / "disk"
        path.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(path)]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("a small tmpfs cannot be mounted here")
        yield path
        subprocess.run(["umount", path], check=True)

    @pytest.mark.parametrize("kind", ["png", "coco", "webdataset"])
    def test_it_is_one_sentence_and_gives_its_room_back(self, folder: Path, disk: Path, kind: str) -> None:
        words = ["export", str(folder / "set"), "--format", kind, "--out", str(disk)]
        result = CliRunner().invoke(main, words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == f"{disk}: the disk is full, and the export was given up: make room, and try again.\n"
        assert list(disk.iterdir()) == []


class TestDamage:
    @pytest.mark.parametrize(
        ("name", "sentence"),
        [("index.json", "index.json is missing: no dataset"), ("val-00000.h5", "val-00000.h5 is missing")],
    )
    def test_a_file_that_is_missing(self, copy: Path, tmp_path: Path, name: str, sentence: str) -> None:
        (copy / name).unlink()
        refused(copy, tmp_path / "out", sentence)

    @pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(2000), b"x" * 2000])
    def test_a_shard_that_is_none(self, copy: Path, tmp_path: Path, content: bytes) -> None:
        (copy / "train-00000.h5").write_bytes(content)
        refused(copy, tmp_path / "out", "train-00000.h5")

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x", "digest": "y", "files": []}', "\xff"])
    def test_an_index_that_is_none(self, copy: Path, tmp_path: Path, text: str) -> None:
        (copy / "index.json").write_bytes(text.encode("latin-1"))
        refused(copy, tmp_path / "out", "index.json")

    def test_a_name_that_leads_out_of_the_folder(self, copy: Path, tmp_path: Path) -> None:
        with forged_index(copy), h5py.File(copy / "train-00000.h5", "r+") as shard:
            shard["sample_id"][1] = b"../../../pwned"
        refused(copy, tmp_path / "out", r"'../../../pwned' is no sample id")
        with forged_index(copy) as index:
            next(file for file in index["files"] if file.get("split") == "train")["name"] = "../train-00000.h5"
        refused(copy, tmp_path / "out", r"index.json: files.\d.name")

    def test_one_name_twice(self, copy: Path, tmp_path: Path) -> None:
        with forged_index(copy), h5py.File(copy / "train-00000.h5", "r+") as shard:
            shard["sample_id"][1] = shard["sample_id"][0]
        for kind in ("png", "coco", "webdataset"):
            refused(copy, tmp_path / "out", "train-00000000 comes twice", kind=kind)

    def test_an_instance_that_is_no_object(self, copy: Path, tmp_path: Path) -> None:
        with forged_index(copy), h5py.File(copy / "train-00000.h5", "r+") as shard:
            shard["object_count"][2] -= 1
        refused(copy, tmp_path / "out", "train-00000002 contradicts itself", kind="coco")

    def test_an_object_of_no_class(self, copy: Path, tmp_path: Path) -> None:
        with forged_index(copy), h5py.File(copy / "train-00000.h5", "r+") as shard:
            shard["objects"][3, 0, 0] = 77
        refused(copy, tmp_path / "out", "train-00000003 contradicts itself")


def test_what_there_is_not(copy: Path, tmp_path: Path) -> None:
    refused(copy, tmp_path / "out", "There is no format 'tiff'", kind="tiff")
    refused(copy, tmp_path / "out", "has no look 'pink'; its looks are natural", look="pink")
    with forged_index(copy) as index:
        index["files"] = [file for file in index["files"] if file.get("split") != "val"]
    refused(copy, tmp_path / "out", "has no samples in its split 'val'", split="val")
    with forged_index(copy) as index:
        index["files"] = []
    refused(copy, tmp_path / "out", "names no shard with samples")


class TestImported:
    """A set of other classes, without instances and objects, some pixels of it unknown."""

    @pytest.fixture
    def imported(self, copy: Path) -> Path:
        with forged_index(copy) as index:
            for path in layout.shards(copy):
                with h5py.File(path, "r+") as shard:
                    del shard["instance"], shard["objects"], shard["object_count"], shard["foreground"]
                    shard["label"][:] = np.where(shard["label"][:] > 1, 1, shard["label"][:])
                    shard["label"][0, :5] = 255
                    for name, values in {
                        "ids": [0, 1],
                        "keys": ["rest", "cell"],
                        "colours": ["#000000", "#00ff7f"],
                    }.items():
                        shard.attrs[f"class_{name}"] = values
            for key in ("sources", "publish"):
                del index[key]
        return copy

    def test_png_leaves_out_what_is_not_there(self, imported: Path, tmp_path: Path) -> None:
        export(imported, tmp_path / "out")
        folder = tmp_path / "out" / "train"
        assert {path.name for path in folder.iterdir()} == {"image", "label", "colour", "samples.csv"}
        with h5py.File(imported / "train-00000.h5") as shard:
            label = shard["label"][0]
        with Image.open(folder / "label" / "train-00000000.png") as image:
            np.testing.assert_array_equal(image, label)
        with Image.open(folder / "colour" / "train-00000000.png") as image:
            np.testing.assert_array_equal(image, label)
            colours = {colour for _, colour in image.convert("RGB").getcolors()}
        assert colours == {(0, 0, 0), (0, 255, 127), (255, 255, 255)}
        assert "neither instances nor objects" in (tmp_path / "out" / "README.md").read_text()

    def test_webdataset_leaves_it_out_and_coco_is_refused(self, imported: Path, tmp_path: Path) -> None:
        export(imported, tmp_path / "out", "webdataset")
        with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
            assert {name.partition(".")[2] for name in tar.getnames()} == {"png", "label.png", "json"}
        refused(imported, tmp_path / "new", "has no `instance` and `objects`, and coco is all about them", kind="coco")


class TestLicence:
    @pytest.mark.parametrize("publish", [True, False])
    def test_a_set_that_is_not_for_publication_says_so_everywhere(
        self, copy: Path, tmp_path: Path, publish: bool
    ) -> None:
        source = {"title": "Some cells", "licence": "CC0 1.0", "redistribution": "not_stated", "cite": ""}
        with forged_index(copy) as index:
            index["publish"] = publish
            index["sources"] = [{"name": "a", **source}, {"name": "b"}]
        export(copy, tmp_path / "out", "coco")
        readme = (tmp_path / "out" / "README.md").read_text()
        assert ("Not for publication" in readme) != publish
        lines = ["a: Some cells; CC0 1.0; redistribution not stated", "b: its licence is not recorded in this set"]
        assert all(f"- {line}\n" in readme for line in lines)
        facts = json.loads((tmp_path / "out" / "export.json").read_text())
        assert (facts["publish"], facts["licences"]) == (publish, lines)
        told = json.loads((tmp_path / "out" / "annotations" / "instances_val.json").read_text())
        assert (told["info"]["publish"], [licence["name"] for licence in told["licenses"]]) == (publish, lines)
        assert (tmp_path / "out" / "dataset-card.md").read_bytes() == (copy / "README.md").read_bytes()
        words = ["export", str(copy), "--format", "coco", "--out", str(tmp_path / "again")]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        assert ("not for publication" in result.stdout) != publish


def test_the_command_tells_in_json_what_was_written(folder: Path, tmp_path: Path) -> None:
    words = ["export", str(folder / "set"), "--format", "png", "--out", str(tmp_path / "out"), "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["samples"] == {"train": 4, "val": 4, "test": 3}
