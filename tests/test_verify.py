"""verify: a whole set passes however it was built, and whatever was changed in one is found and named."""

import hashlib
import json
import os
import random
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from forged_set import forged_index, forged_shard, write_index
from isal import isal_zlib
from small_set import contents, prepare, small_build
from synthetic_bank import synthetic_bank

import smearsynth
from smearsynth.cells import bank as banks
from smearsynth.cli import main
from smearsynth.dataset.verify.contained import Died, Tick, in_order
from smearsynth.dataset.verify.survey import survey
from smearsynth.errors import UserError
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.verbs.verify import Verification, as_text

FIELD = {name: column for column, name in enumerate(OBJECT_FIELDS)}
TRAIN = "train-00000.h5"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """small.yaml, bank.h5, and `set`: three smears of each split, in one look."""
    path = tmp_path_factory.mktemp("verify")
    prepare(path)
    small_build(path, path / "set", limit=3)
    return path


@pytest.fixture
def out(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "set", tmp_path / "set"))


def verify(out: Path, **options: Any) -> Verification:
    return smearsynth.verify(out, **{"workers": 1, "progress": False, **options})


def faults(out: Path, **options: Any) -> list[str]:
    return [str(fault) for fault in verify(out, **options).faults]


class TestWhole:
    @pytest.mark.parametrize(
        ("overrides", "options"),
        [
            ([], {}),
            (["looks=[natural, reference]", "shards={samples: 4}"], {}),
            (["shards={samples: 5, codec: none}"], {}),
            (["count={val: 4}"], {}),
        ],
    )
    def test_a_build_passes_with_one_worker_and_with_two(
        self, folder: Path, tmp_path: Path, overrides: list[str], options: dict[str, Any]
    ) -> None:
        built = small_build(folder, tmp_path / "set", *overrides, **options)
        before = contents(tmp_path / "set")
        for workers in (1, 2):
            found = verify(tmp_path / "set", labels=True, workers=workers)
            assert (found.faults, found.unchecked, found.whole, found.labels) == ((), (), True, True)
            assert (found.digest, found.samples) == (built.digest, built.smears)
        assert contents(tmp_path / "set") == before

    def test_a_set_that_grew_by_resume_passes(self, folder: Path, out: Path) -> None:
        small_build(folder, out, limit=9, resume=True)
        assert verify(out, labels=True).whole

    def test_what_can_not_be_checked_of_a_set_that_was_handed_on_is_said(self, folder: Path, out: Path) -> None:
        shutil.rmtree(out / ".smearsynth")
        (out / "cells.h5").unlink()
        found = verify(out)
        assert found.whole
        assert "where objects come from" in found.unchecked[0]
        assert "how many cells were left out" in found.unchecked[1]
        given = verify(out, labels=True, bank=folder / "bank.h5")
        assert (given.whole, given.labels, len(given.unchecked)) == (True, True, 1)

    def test_a_set_without_its_bank_keeps_the_notes_of_its_build(self, out: Path) -> None:
        (out / "cells.h5").unlink()
        assert verify(out).whole


class TestRefusals:
    def test_what_is_no_dataset(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "gone"):
            with pytest.raises(UserError, match=r"index\.json is missing: no dataset"):
                verify(path)

    def test_a_newer_format(self, out: Path) -> None:
        with forged_index(out) as index:
            index["format_version"] = 2
        with pytest.raises(UserError, match=r"index\.json: format version 2 is newer .* upgrade"):
            verify(out)

    def test_labels_without_a_bank(self, out: Path) -> None:
        (out / "cells.h5").unlink()
        with pytest.raises(UserError, match=r"without cells\.h5: name its bank by --bank"):
            verify(out, labels=True)

    def test_another_bank(self, out: Path, tmp_path: Path) -> None:
        banks.save(synthetic_bank(per_class=1), tmp_path / "other.h5")
        with pytest.raises(UserError, match=r"other\.h5: its digest is .* another bank"):
            verify(out, bank=tmp_path / "other.h5")
        (tmp_path / "text.h5").write_text("no bank")
        with pytest.raises(UserError, match=r"text\.h5: not a whole bank"):
            verify(out, bank=tmp_path / "text.h5")


def flipped(path: Path, offset: int, mask: int) -> bytes:
    """Changes one byte; returns what the file held."""
    before = path.read_bytes()
    data = bytearray(before)
    data[offset] ^= mask
    path.write_bytes(data)
    return before


class TestOneByte:
    @pytest.mark.parametrize("times", [2, pytest.param(30, marks=pytest.mark.slow)])
    def test_wherever_it_is_flipped_the_file_is_named(self, out: Path, times: int) -> None:
        rng = random.Random(times)
        for path in sorted(path for path in out.rglob("*") if path.is_file() and path.stat().st_size):
            name = str(path.relative_to(out))
            for _ in range(times):
                offset = rng.randrange(path.stat().st_size)
                before = flipped(path, offset, rng.randrange(1, 256))
                try:
                    told = faults(out)
                except UserError as refusal:
                    told = [str(refusal)]
                assert any(name in fault for fault in told), (name, offset)
                path.write_bytes(before)
        assert verify(out).whole

    @pytest.mark.parametrize("codec", ["gzip", "none"])
    def test_in_a_row_of_a_shard_the_sample_is_named(self, folder: Path, tmp_path: Path, codec: str) -> None:
        out = tmp_path / "set"
        small_build(folder, out, f"shards={{samples: 7, codec: {codec}}}", limit=3)
        for name in ("image", "label", "instance"):
            for row in (0, 2):
                with h5py.File(out / TRAIN) as file:
                    data = file[name].id
                    if codec == "gzip":
                        chunk = data.get_chunk_info_by_coord((row,) + (0,) * (data.rank - 1))
                        start, size = chunk.byte_offset, chunk.size
                    else:
                        size = data.get_storage_size() // 3
                        start = data.get_offset() + row * size
                before = flipped(out / TRAIN, start + size // 2, 0x10)
                told = faults(out)
                assert any(fault.startswith(f"{TRAIN}: its sha256") for fault in told)
                assert any(fault.startswith(f"{TRAIN}: train-0000000{row}: ") for fault in told)
                assert not any(f"train-0000000{other}: " in fault for fault in told for other in {0, 1, 2} - {row})
                (out / TRAIN).write_bytes(before)

    def test_all_faults_are_told_and_not_only_the_first(self, out: Path) -> None:
        for name in (TRAIN, "val-00000.h5", "cells.h5", "README.md", "preview.png"):
            flipped(out / name, (out / name).stat().st_size // 2, 1)
        (out / "test-00000.h5").unlink()
        (out / "notes.txt").touch()
        named = {fault.file for fault in verify(out).faults}
        assert named >= {TRAIN, "val-00000.h5", "cells.h5", "README.md", "preview.png", "test-00000.h5", "notes.txt"}


class TestLabels:
    """Changes that were made good by whoever made them: all digests fit, and what a shard shows agrees."""

    def test_one_pixel(self, out: Path) -> None:
        with forged_shard(out, TRAIN) as shard:
            row, x, y = pixel_inside_a_box(shard)
            shard["label"][1, y, x] = shard["instance"][1, y, x] = 0
            objects = shard["objects"][1]
            objects[row, FIELD["visible"]] -= 1
            shard["objects"][1] = objects
        assert faults(out) == []
        told = faults(out, labels=True)
        assert len(told) == 3
        start = f"{TRAIN}: train-00000001: "
        assert told[0].startswith(f"{start}object row {row}: visible is ")
        assert told[1].startswith(f"{start}label is not what objects and bank give at 1 pixels, first at x={x}, y={y}")
        assert told[1].endswith(f"by object row {row}")
        assert told[2].startswith(f"{start}instance is not what objects and bank give at 1 pixels")

    @pytest.mark.parametrize(
        ("field", "change", "message"),
        [
            ("cx", 300, "by the bank"),
            ("cy", -300, "by the bank"),
            ("angle", 9000, "by the bank"),
            ("scale", 3000, "by the bank"),
            ("full", 1, "full is"),
            ("cell", 10**6, "cell is .*, and no plan gives that, so its label cannot be derived"),
            ("cell", -(10**6), "no plan gives that"),
            ("cx", 2**31 - 2**20, "no plan gives that"),
            ("scale", -(10**5), "no plan gives that"),
            ("angle", 65536, "no plan gives that"),
            ("flip", 2, "no plan gives that"),
            ("cell", 30, "is of (class|split) . in the bank and of . here"),
        ],
    )
    def test_one_object_row(self, out: Path, field: str, change: int, message: str) -> None:
        with forged_shard(out, "val-00000.h5") as shard:
            objects = shard["objects"][2]
            objects[3, FIELD[field]] = np.int32(int(objects[3, FIELD[field]]) + change)
            shard["objects"][2] = objects
        with forged_index(out) as index:
            for split in index["splits"].values():
                split["class_by_source"] = split["cells"] = {}
        told = [fault for fault in faults(out, labels=True) if not fault.startswith("index.json")]
        assert told
        assert all(fault.startswith("val-00000.h5: val-00000002: ") for fault in told)
        assert "object row 3: " in told[0]
        assert any(re.search(message, fault) for fault in told)

    def test_looks_of_a_scene_share_their_labels(self, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "set"
        small_build(folder, out, "looks=[natural, reference]", limit=2)
        with forged_shard(out, TRAIN) as shard:
            shard["label"][1], shard["instance"][1] = shard["label"][2], shard["instance"][2]
            shard["objects"][1] = shard["objects"][2]
            for name in ("object_count", "foreground", "background"):
                shard[name][1] = shard[name][2]
        told = faults(out)
        assert (
            f"{TRAIN}: train-00000000@reference: its label and instance and objects are not those of train-00000000, "
            "the same scene in another look"
        ) in told


def pixel_inside_a_box(shard: h5py.File) -> tuple[int, int, int]:
    """Object row, x and y of a pixel of the second sample that decides no side of its object's box."""
    x, y, w, h = (int(v) for v in shard["objects"][1, 0, FIELD["x"] : FIELD["h"] + 1])
    inner = np.argwhere(shard["instance"][1, y + 1 : y + h - 1, x + 1 : x + w - 1] == 1)
    dy, dx = inner[len(inner) // 2]
    return 0, x + 1 + int(dx), y + 1 + int(dy)


class TestFiles:
    def test_missing_and_strange_files(self, out: Path) -> None:
        (out / "README.md").unlink()
        (out / "val-00000.h5").rename(out / "val-00001.h5")
        (out / ".smearsynth/train-00009.h5.part").touch()
        told = faults(out)
        assert {"README.md: is missing", "val-00000.h5: is missing", "val-00001.h5: is not in index.json"} <= set(told)
        assert ".smearsynth/train-00009.h5.part: is left over, or of no build" in told
        assert "what index.json counts in val" in verify(out).unchecked[0]

    def test_what_is_no_file_is_never_opened(self, out: Path) -> None:
        for name in (TRAIN, "README.md", "cells.h5", "recipe.resolved.yaml"):
            (out / name).unlink()
            os.mkfifo(out / name)
        told = faults(out)
        assert {f"{TRAIN}: is no file", "README.md: is no file", "cells.h5: is no file"} <= set(told)

    def test_a_cut_file(self, out: Path) -> None:
        os.truncate(out / TRAIN, 1000)
        assert any(fault.startswith(f"{TRAIN}: has 1000 bytes, and ") for fault in faults(out))

    @pytest.mark.parametrize("name", ["../set/README.md", "/etc/passwd", ".smearsynth/lock", "a\nb", ""])
    def test_no_name_leaves_the_folder(self, out: Path, name: str) -> None:
        with forged_index(out) as index:
            index["files"][-1]["name"] = name
        assert faults(out) == [f"index.json: files[{len(index['files']) - 1}].name: {PATTERN}"]


PATTERN = "String should match pattern '^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$'"


class TestIndex:
    @pytest.mark.parametrize("text", ["", "7", "[]", "{", "{}", "[" * 100_000, '{"format_version": null}', "\xff"])
    def test_what_is_no_index(self, out: Path, text: str) -> None:
        (out / "index.json").write_text(text, encoding="latin-1")
        found = verify(out)
        assert {fault.file for fault in found.faults} == {"index.json"}
        assert not found.whole

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            ("splits.train.pixels.healthy_rbc", 7, "splits.train.pixels.healthy_rbc is 7, and the shards hold "),
            ("splits.val.objects.neutrophil", 99, "splits.val.objects.neutrophil is 99, and the shards hold "),
            ("splits.test.combinations.none/mixed", 5, "splits.test.combinations.none/mixed is 5, and the shards hold"),
            ("splits.train.class_by_source.monocyte.alpha", 50, "splits.train.class_by_source.monocyte.alpha is 50"),
            ("splits.train.cells.monocyte.gamma", 1, "splits.train.cells.monocyte.gamma is 1, and .* null"),
            ("splits.train.shards", 2, "splits.train.shards is 2, and the shards hold 1"),
            ("splits.val.scenes", 4, "splits.val.scenes is 4, and the shards hold 3"),
            ("samples", 10, "samples is 10, and its shards have 9"),
            ("scenes", 8, "scenes is 8, and its shards have 9"),
            ("digest", "ab" * 32, "digest is abab.*, and the samples give"),
            ("classes.3.colour", "#ffffff", r'classes\[3\].colour is "#ffffff", and "#fbbebe" in format 1'),
            ("um_per_px", 0.25, "um_per_px is 0.25, and 0.2 in format 1"),
            ("fields.1", "sell", r'fields\[1\] is "sell", and "cell"'),
            ("files.0.first_scene", 3, "train-00000.h5: first_scene is 3, and 0 scenes are before it"),
            ("files.0.scenes", 2, "train-00000.h5: 3 samples of 2 scenes in 1 looks"),
            ("files.1.name", "val-00001.h5", "val-00001.h5 stands where val-00000.h5 belongs"),
            ("files.1.name", "README.md", "README.md stands there 2 times"),
            ("bank_digest", "ab" * 32, "cells.h5: its digest is .* another bank"),
            ("recipe_hash", "ab" * 32, "recipe.resolved.yaml: its hash is .*, and `recipe_hash` abab"),
            ("name", "other", 'recipe.resolved.yaml: name is "small", and "other" in index.json'),
            ("size.0", 96, "train-00000.h5: image is uint8"),
            ("looks.0", "x", r"recipe.resolved.yaml: looks\[0\] is \"natural\", and \"x\""),
            ("generator_version", 77, "train-00000.h5: attribute generator_version is .*, must be 77"),
            ("samples", 1e3, "samples: Input should be a valid integer"),
            ("splits.val", {}, "splits.val.scenes: Field required"),
            ("scenes", -1, "scenes: Input should be greater than or equal to 0"),
            ("files.0.samples", 2**52, "train-00000.h5: image is uint8"),
        ],
    )
    def test_a_figure_that_was_changed_and_sealed_again(self, out: Path, path: str, value: Any, message: str) -> None:
        *parents, last = (int(key) if key.isdecimal() else key for key in path.split("."))
        with forged_index(out) as index:
            inner: Any = index
            for key in parents:
                inner = inner[key]
            inner[last] = value
        assert any(re.search(message, fault) for fault in faults(out))

    def test_the_notes_of_the_build_are_held_against_it(self, out: Path) -> None:
        index = json.loads((out / "index.json").read_text())
        index["splits"]["train"]["dropped"] += 1
        index["sources"][0]["name"] = "other"
        write_index(out, index)
        told = faults(out)
        dropped = index["splits"]["train"]["dropped"]
        assert f"index.json: splits.train.dropped is {dropped}, and the markers of its shards say {dropped - 1}" in told
        assert ".smearsynth/sources.json: is not what a build of this set writes" in told

    def test_text_that_no_file_can_hold_is_a_fault(self, out: Path) -> None:
        index = json.loads((out / "index.json").read_text())
        index["sources"][0]["name"] = index["name"] = "half a character: \ud800"
        rest = {key: value for key, value in index.items() if key != "seal"}
        index["seal"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
        (out / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
        found = verify(out)
        assert "index.json" in {fault.file for fault in found.faults}
        as_text(found).encode()


def elsewhere(shard: h5py.File, out: Path) -> None:
    with h5py.File(out.parent / "other.h5", "w") as other:
        other["label"] = shard["label"][:]
    del shard["label"]
    shard["label"] = h5py.ExternalLink("../other.h5", "label")


def external(shard: h5py.File, out: Path) -> None:
    shape = shard["label"].shape
    del shard["label"]
    secret = str(out.parent / "secret")
    Path(secret).write_bytes(bytes(range(256)) * 1000)
    shard.create_dataset("label", shape, "u1", external=[(secret, 0, h5py.h5f.UNLIMITED)])


def virtual(shard: h5py.File, out: Path) -> None:
    layout = h5py.VirtualLayout(shard["label"].shape, "u1")
    layout[:] = h5py.VirtualSource(str(out / "val-00000.h5"), "label", shard["label"].shape)
    del shard["label"]
    shard.create_virtual_dataset("label", layout)


def replaced(name: str, **created: Any) -> Callable[[h5py.File, Path], None]:
    def replace(shard: h5py.File, out: Path) -> None:  # noqa: ARG001
        data = shard[name][:]
        del shard[name]
        shard.create_dataset(name, **{"data": data, **created})

    return replace


def bomb(shard: h5py.File, out: Path) -> None:  # noqa: ARG001
    shard["image"].id.write_direct_chunk((1, 0, 0, 0), isal_zlib.compress(bytes(10**8)))


def loop(shard: h5py.File, out: Path) -> None:  # noqa: ARG001
    del shard["label"]
    shard["label"] = h5py.SoftLink("/label")


HUGE = {"data": None, "shape": (3, 10**6, 10**6), "dtype": "u1", "chunks": (1, 1000, 1000), "compression": "gzip"}


class TestShards:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (elsewhere, "has no dataset label of its own"),
            (loop, "has no dataset label of its own"),
            (external, "label lies in another file"),
            (virtual, "label lies in another file"),
            (replaced("label", **HUGE), r"label is uint8 \(3, 1000000, 1000000\), must be u1 \(3, 72, 96\)"),
            (replaced("label", data=np.zeros((3, 72, 96), "f4")), "label is float32"),
            (replaced("instance", data=np.zeros((3, 72, 96), ">u2")), "instance is >u2"),
            (replaced("label", chunks=(3, 72, 96)), "label is not stored as the format says"),
            (replaced("label", chunks=(1, 72, 96), compression="lzf"), "label is not stored as the format says"),
            (replaced("digest", data=["a", "b", "c"], dtype=h5py.string_dtype()), "digest is object"),
            (replaced("foreground", data=np.zeros((3, 8), "<u2")), r"foreground is uint16 \(3, 8\)"),
            (replaced("objects", data=np.zeros((3, 5, 3), "<i4")), r"objects is int32 \(3, 5, 3\)"),
            (bomb, "train-00000001: row 1 of image is damaged"),
            (lambda shard, _: shard.create_group("more"), 'holds "more", which is not of the format'),
            (lambda shard, _: shard.attrs.__setitem__("split", "val"), 'attribute split is "val", must be "train"'),
            (lambda shard, _: shard.attrs.__delitem__("looks"), "attribute looks is null"),
            (lambda shard, _: shard["objects"].attrs.__delitem__("fields"), "attribute `fields` of objects"),
            (lambda shard, _: shard["scene"].__setitem__(2, 9), "train-00000002: scene is 9, must be 2"),
            (lambda shard, _: shard["look"].__setitem__(1, 1), "train-00000001: look is 1, must be 0"),
            (lambda shard, _: shard["sample_id"].__setitem__(1, b"\x1b[2J"), "sample_id is b'.*', must be b'train"),
            (lambda shard, _: shard["object_count"].__setitem__(0, 65_000), "`object_count` is 65000"),
            (lambda shard, _: shard["object_count"].__setitem__(0, 1), "beyond `object_count` is not 0"),
            (lambda shard, _: shard["background"].__setitem__(0, 77), "`background` is 77, and its objects make it"),
            (lambda shard, _: shard["foreground"].__setitem__((0, 4), 9), "`foreground` is .*, and its objects are"),
            (
                lambda shard, _: shard["label"].__setitem__((2, 5, 7), 200),
                "label is not the class of the instance at 1 ",
            ),
            (lambda shard, _: shard["instance"].__setitem__((2, 5, 7), 65_535), "first at x=7, y=5: label ., instance"),
            (lambda shard, _: shard["objects"].__setitem__((2, 1, 0), 77), "object row 1: there is no class 77"),
            (lambda shard, _: shard["objects"].__setitem__((2, 1, 0), -7), "object row 1: there is no class -7"),
            (lambda shard, _: shard["objects"].__setitem__((2, 1, FIELD["w"]), 500), "object row 1: w is 500, and"),
        ],
    )
    def test_what_somebody_made_up_is_named_and_harms_nothing(
        self, out: Path, change: Callable[[h5py.File, Path], None], message: str
    ) -> None:
        with h5py.File(out / TRAIN, "r+") as shard:
            change(shard, out)
        with forged_index(out):
            pass
        told = [fault for fault in faults(out, labels=True) if fault.startswith(TRAIN)]
        assert any(re.search(message, fault) for fault in told), told
        assert all(fault.isprintable() for fault in told)


class TestCommand:
    def run(self, *words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, ["verify", *words, "--workers", "1"])
        return result.exit_code, result.stdout, result.stderr

    def test_exit_codes_and_text(self, out: Path) -> None:
        code, text, _ = self.run(str(out), "--labels")
        assert (code, text.startswith(f"{out}: whole; 9 samples read, every label derived again in ")) == (0, True)
        (out / "more").touch()
        code, text, _ = self.run(str(out))
        assert (code, text.splitlines()[0]) == (1, "more: is not in index.json")
        assert f"{out}: 1 fault; 9 samples read" in text
        code, text, complaint = self.run(str(out / "gone"))
        assert (code, text, complaint.count("\n")) == (2, "", 1)

    def test_json(self, out: Path) -> None:
        flipped(out / "README.md", 5, 1)
        code, text, _ = self.run(str(out), "--json")
        found = json.loads(text)
        assert (code, found["whole"], found["samples"]) == (1, False, 9)
        assert [(fault["file"], fault["sample"]) for fault in found["faults"]] == [("README.md", "")]


def work(task: int, tick: Tick) -> int:
    """Kills itself for 3, ends for 5."""
    tick(task)
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 5:
        os._exit(7)
    return task * task


@pytest.mark.parametrize("workers", [1, 3])
def test_work_that_ends_its_process_is_told_and_the_rest_is_done_in_order(workers: int) -> None:
    heard: list[int] = []
    results = list(in_order(work, range(8), workers=workers, tick=heard.append))
    died = {3: Died("it was ended by SIGKILL"), 5: Died("it ended with code 7")}
    assert results == [died.get(n, n * n) for n in range(8)]
    assert sorted(heard) == list(range(8))


def test_a_survey_is_a_recount_by_numpy() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 1, 6):
        classes = rng.integers(1, 10, n)
        instance = rng.integers(0, n + 2, (13, 17)).astype(np.uint16)
        label = np.concatenate([[0], classes, [0]])[np.minimum(instance, n + 1)].astype(np.uint8)
        label[4, 5] = 99
        found = survey(label, instance, classes)
        due = np.concatenate([[0], classes, [-1]])[instance]
        wrong = np.argwhere(due != label)
        assert (found.strange, found.y, found.x) == (len(wrong), *wrong[0])
        assert found.pixels.tolist() == np.bincount(label.ravel(), minlength=256).tolist()
        for i in range(n):
            ys, xs = np.nonzero(instance == i + 1)
            box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1] if len(xs) else [0] * 4
            assert found.seen[i].tolist() == [*box, len(xs)]
