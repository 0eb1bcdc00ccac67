"""verify: whatever changes, vanishes or appears among the files of a set is found and named."""

import os
import random
from pathlib import Path

import h5py
import pytest
from forged_set import forged_index
from small_set import small_build
from verified_set import TRAIN, faults, flipped, verify

from smearsynth.errors import UserError


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


PATTERN = "String should match pattern '^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$'"


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
