"""verify: whatever changes, vanishes or appears among the files of a set is found and named."""

import hashlib
import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from forged_set import forged_index, forged_shard
from mostly_slow import mostly_slow
from small_set import small_build
from verified_set import TRAIN, errors, flipped, verify

from smearsynth.bank.bank_file import load_bank
from smearsynth.base.errors import UserError


class TestOneByte:
    @pytest.mark.slow
    def test_wherever_it_is_flipped_the_file_is_named(self, out: Path) -> None:
        """But in white space of the index, which says nothing."""
        rng = random.Random(12)
        for path in sorted(path for path in out.iterdir() if path.is_file()):
            for _ in range(4):
                offset = rng.randrange(path.stat().st_size)
                while path.name == "index.json" and path.read_bytes()[offset] in b" \n":
                    offset = rng.randrange(path.stat().st_size)
                before = flipped(path, offset, rng.randrange(1, 256))
                try:
                    found = errors(out)
                except UserError as refusal:
                    found = [str(refusal)]
                assert any(path.name in error for error in found), (path.name, offset)
                path.write_bytes(before)
        assert verify(out).whole

    @pytest.mark.slow
    @pytest.mark.parametrize("codec", ["gzip", "none"])
    def test_in_a_row_of_a_shard_the_sample_is_named(self, built: Path, tmp_path: Path, codec: str) -> None:
        out = tmp_path / "set"
        small_build(built, out, f"shards={{samples: 7, codec: {codec}}}", limit=3)
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
                found = errors(out)
                assert any(error.startswith(f"{TRAIN}: its sha256") for error in found)
                assert any(error.startswith(f"{TRAIN}: train-0000000{row}: ") for error in found)
                assert not any(f"train-0000000{other}: " in error for error in found for other in {0, 1, 2} - {row})
                (out / TRAIN).write_bytes(before)

    def test_all_errors_are_named_and_not_only_the_first(self, out: Path) -> None:
        for name in (TRAIN, "val-00000.h5", "cells.h5", "README.md", "preview.png"):
            flipped(out / name, (out / name).stat().st_size // 2, 1)
        (out / "test-00000.h5").unlink()
        (out / "notes.txt").touch()
        named = {error.file for error in verify(out).errors}
        assert named >= {TRAIN, "val-00000.h5", "cells.h5", "README.md", "preview.png", "test-00000.h5", "notes.txt"}


PATTERN = "String should match pattern '^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$'"


class TestFiles:
    def test_missing_and_strange_files(self, out: Path) -> None:
        (out / "README.md").unlink()
        (out / "val-00000.h5").rename(out / "val-00001.h5")
        assert {"README.md: is missing", "val-00000.h5: is missing", "val-00001.h5: is not in index.json"} <= {
            *errors(out)
        }
        assert "what index.json counts in val" in verify(out).unchecked[0]

    def test_what_is_no_file_is_never_opened(self, out: Path) -> None:
        for name in (TRAIN, "README.md", "cells.h5", "recipe.resolved.yaml"):
            (out / name).unlink()
            os.mkfifo(out / name)
        assert {f"{TRAIN}: is no file", "README.md: is no file", "cells.h5: is no file"} <= set(errors(out))

    def test_a_cut_file(self, out: Path) -> None:
        os.truncate(out / TRAIN, 1000)
        assert any(error.startswith(f"{TRAIN}: has 1000 bytes, and ") for error in errors(out))

    @pytest.mark.parametrize("name", ["../set/README.md", "/etc/passwd", ".smearsynth/lock", "a\nb", ""])
    def test_no_name_leaves_the_folder(self, out: Path, name: str) -> None:
        with forged_index(out) as index:
            index["files"][-1]["name"] = name
        assert errors(out) == [f"index.json: files[{len(index['files']) - 1}].name: {PATTERN}"]


def moved(path: Path) -> Path:
    """Takes a file out of its set."""
    return path.rename(path.parents[1] / f"moved-{path.name}")


def of_its_size(path: Path) -> None:
    path.write_bytes(random.Random(path.name).randbytes(path.stat().st_size))


ATTACKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte less": (lambda path: os.truncate(path, path.stat().st_size - 1), "has [0-9]+ bytes, and"),
    "a byte more": (lambda path: path.write_bytes(path.read_bytes() + b"\n"), "has [0-9]+ bytes, and"),
    "nothing": (lambda path: os.truncate(path, 0), "has 0 bytes, and"),
    "noise of its size": (of_its_size, "its sha256 is not the one"),
    "a folder": (lambda path: (moved(path), path.mkdir()), "is no file"),
    "a pipe": (lambda path: (moved(path), os.mkfifo(path)), "is no file"),
    "a link to itself elsewhere": (lambda path: path.symlink_to(moved(path)), "is a link"),
    "a link to nothing": (lambda path: (moved(path), path.symlink_to("nowhere")), "is a link"),
}


class TestEveryFile:
    @pytest.mark.parametrize("kind", mostly_slow(*((kind,) for kind in ATTACKS)))
    def test_in_its_place(self, out: Path, kind: str) -> None:
        names = [file["name"] for file in json.loads((out / "index.json").read_text())["files"]]
        assert {TRAIN, "cells.h5", "README.md", "preview.png", "recipe.resolved.yaml"} <= set(names)
        attack, message = ATTACKS[kind]
        for name in names:
            attack(out / name)
        found = [error for error in verify(out).errors if re.match(message, error.what)]
        assert {error.file for error in found} >= set(names)

    @pytest.mark.parametrize("kind", ATTACKS)
    def test_in_place_of_the_index(self, out: Path, kind: str) -> None:
        ATTACKS[kind][0](out / "index.json")
        try:
            found = errors(out)
        except UserError as refusal:
            found = [str(refusal)]
        assert all("index.json" in error for error in found)
        says_the_same = kind in ("a byte less", "a byte more")  # its last byte ends the line
        assert bool(found) != says_the_same

    def test_two_files_that_changed_places(self, out: Path) -> None:
        for one, other in ((TRAIN, "val-00000.h5"), ("README.md", "preview.png")):
            between = moved(out / one)
            (out / other).rename(out / one)
            between.rename(out / other)
        named = {error.file for error in verify(out).errors}
        assert named >= {TRAIN, "val-00000.h5", "README.md", "preview.png"}

    def test_a_build_that_goes_on_writes_through_no_link(self, built: Path, out: Path) -> None:
        (out / ".smearsynth").rename(out.parent / "notes")
        (out / ".smearsynth").symlink_to("../notes")
        with pytest.raises(UserError, match=r"\.smearsynth is a link, and no build makes one"):
            small_build(built, out, limit=5, resume=True)
        (out / ".smearsynth").unlink()
        (out.parent / "notes").rename(out / ".smearsynth")
        (out.parent / "precious").write_text("mine")
        (out / ".smearsynth/lock").unlink()
        (out / ".smearsynth/lock").symlink_to("../../precious")
        with pytest.raises(UserError, match=r"lock is a link, and no build makes one"):
            small_build(built, out, limit=5, resume=True)
        assert (out.parent / "precious").read_text() == "mine"


def test_samples_that_changed_places_are_found_by_the_digest_of_the_set(out: Path) -> None:
    """With their labels, objects and own digests, so that every sample is sound, and all checksums of the file."""
    with h5py.File(out / TRAIN, "r+") as shard:
        for name in set(shard) - {"sample_id", "scene"}:
            data = shard[name][:]
            data[[0, 1]] = data[[1, 0]]
            shard[name][...] = data
    assert any(error.startswith(f"{TRAIN}: ") for error in errors(out))
    with forged_index(out):
        pass
    [error] = errors(out)
    assert error.startswith("index.json: digest is ")


def test_digests_that_changed_places_name_their_samples(out: Path) -> None:
    with h5py.File(out / TRAIN, "r+") as shard:
        shard["digest"][...] = np.roll(shard["digest"][:], 1)
    found = errors(out)
    for row in range(3):
        assert f"{TRAIN}: train-0000000{row}: its pixels are not those of its `digest`" in found


@pytest.mark.slow
def test_an_image_that_was_changed_with_all_its_checksums_is_a_set_of_another_digest(out: Path) -> None:
    before = verify(out).digest
    with forged_shard(out, TRAIN) as shard:
        image = shard["image"][1]
        image[5, 7] ^= 1
        shard["image"][1] = image
    found = verify(out, labels=True)
    assert found.whole
    assert found.digest != before


@pytest.mark.slow
def test_the_lock_is_compared_with_the_cells_and_the_index(out: Path) -> None:
    bank = load_bank(out / "cells.h5")
    used = sorted({(bank.sources[s], p, h) for s, p, h in zip(bank.source, bank.paths, bank.sha256, strict=True)})
    lines = [f"{sha256}  {source}/{path}\n" for source, path, sha256 in used]

    def locked(lines: list[str], indexed: list[str]) -> list[str]:
        (out / "sources.lock").write_text("".join(lines))
        with forged_index(out) as index:
            index["files"] = [file for file in index["files"] if file["name"] != "sources.lock"]
            index["files"].append({"name": "sources.lock"})
            for source in index["sources"]:
                own = "".join(line for line in indexed if f"  {source['name']}/" in line)
                source["sha256"] = hashlib.sha256(own.encode()).hexdigest()
        return errors(out)

    assert locked(lines, lines) == []
    source, path, _ = used[0]
    other = [f"{'ab' * 32}  {source}/{path}\n", *lines[1:]]
    named = f"does not hold as they were 1 files that cells were cut from, such as {source}/{path}"
    assert locked(other, other) == [f"sources.lock: {named}"]
    assert locked(lines, other) == [
        f"sources.lock: its lines of {source} are not those that index.json has the sha256 of"
    ]
    assert locked(["no line\n"], lines)[0].startswith("sources.lock: :1: is no line")
