"""Builds: one digest however the work is cut, interrupted or continued, and no folder harmed."""

import json
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_set import COUNT, contents, naive_digest, small_build
from synthetic_bank import synthetic_bank

from smearsynth.bank import bank_file
from smearsynth.base.errors import UserError
from smearsynth.base.workers import WorkerDiedError
from smearsynth.dataset import build_state, layout
from smearsynth.dataset.index import ShardRecord
from smearsynth.engines import run_here
from smearsynth.engines.build_plan import BuildPlan, make_plan
from smearsynth.verbs.build import BuildResult
from smearsynth.verbs.preparation import read_recipe
from smearsynth.verbs.preview import bench, bench_text, dry_run
from smearsynth.verbs.verify import verify

SPLIT_ROWS = [(f"{split}-{i:08d}", i) for split, n in COUNT.items() for i in range(n)]


def test_the_digest_is_that_of_the_pixels_and_of_the_index(straight: BuildResult) -> None:
    out, result = straight.out, straight
    assert result.digest == naive_digest(out) == json.loads((out / "index.json").read_text())["digest"]
    assert (result.smears, result.built) == (28, 28)


@pytest.mark.parametrize(
    ("workers", "overrides"),
    [(2, []), (1, ["shards.samples=16"]), (2, ["shards.samples=1000"]), (1, ["shards.codec=gzip", "name=other"])],
)
def test_workers_shard_size_and_codec_leave_the_digest(
    folder: Path, straight: BuildResult, tmp_path: Path, workers: int, overrides: list[str]
) -> None:
    assert small_build(folder, tmp_path / "set", *overrides, workers=workers).digest == straight.digest


@pytest.mark.parametrize("override", ["seed=1", "scene.overlap=0.3", "looks=[reference]"])
def test_what_decides_samples_changes_the_digest(
    folder: Path, straight: BuildResult, tmp_path: Path, override: str
) -> None:
    assert small_build(folder, tmp_path / "set", override).digest != straight.digest


def test_two_builds_are_equal_in_every_byte_of_every_file(folder: Path, straight: BuildResult, tmp_path: Path) -> None:
    small_build(folder, tmp_path / "set", workers=2)
    assert contents(tmp_path / "set") == contents(straight.out)


def test_a_set_holds_every_sample_once_in_order_and_no_other_file(straight: BuildResult) -> None:
    out = straight.out
    shards = [f"train-0000{i}.h5" for i in range(3)] + ["val-00000.h5", "test-00000.h5"]
    told = ("index.json", "recipe.resolved.yaml", "cells.h5", "README.md", "croissant.json", "preview.png")
    names = {*shards, *told}
    state = {
        f".smearsynth/{name}" for name in ("identity.json", "sources.json", "lock", *(f"{s}.json" for s in shards))
    }
    assert set(contents(out)) == names | state
    rows: list[tuple[str, int]] = []
    for name in shards:
        with h5py.File(out / name) as file:
            rows += zip(file["sample_id"].asstr()[:].tolist(), file["scene"][:].tolist(), strict=True)
    assert rows == SPLIT_ROWS


def test_looks_of_a_scene_are_adjacent_rows_that_share_its_labels(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    result = small_build(folder, out, "looks=[natural, reference]", limit=4)
    assert result.smears == 2 * (4 + 4 + 3)
    with h5py.File(out / "train-00000.h5") as file:
        assert file["sample_id"].asstr()[:4].tolist() == [
            "train-00000000",
            "train-00000000@reference",
            "train-00000001",
            "train-00000001@reference",
        ]
        assert len(file["label"]) == 6  # 7 samples a shard are 3 scenes of 2 looks
        assert file["look"][:].tolist() == [0, 1] * 3
        for name in ("label", "instance", "objects", "scene"):
            data = file[name][:]
            np.testing.assert_array_equal(data[0::2], data[1::2])
        assert (file["image"][0] != file["image"][1]).any()


def test_a_limited_build_grows_into_the_straight_one(folder: Path, straight: BuildResult, tmp_path: Path) -> None:
    out = tmp_path / "set"
    small_build(folder, out, limit=4)
    small_build(folder, out, limit=10, resume=True, workers=2)
    first = (out / "train-00000.h5").stat()
    grown = small_build(folder, out, resume=True)
    assert grown.digest == straight.digest
    assert grown.built == 20 - 7  # the partial train-00001 anew, train-00002; val (5) and test (3) were whole
    assert (out / "train-00000.h5").stat().st_mtime_ns == first.st_mtime_ns
    assert contents(out) == contents(straight.out)


def test_a_set_never_shrinks(folder: Path, copy: Path) -> None:
    before = contents(copy)
    with pytest.raises(UserError, match=r"holds 14 scenes of train or more and only 8 are asked for"):
        small_build(folder, copy, resume=True, limit=8)
    assert contents(copy) == before


def test_resuming_a_whole_set_builds_nothing_and_needs_neither_bank_nor_sources(folder: Path, copy: Path) -> None:
    before = contents(copy)
    assert small_build(folder, copy, resume=True, bank=None).built == 0
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"is not empty: resume it, overwrite it, .* \(resume, overwrite, out\)"),
        ({"resume": True, "overwrite": True}, r"either resumed or overwritten.* \(resume, overwrite\)"),
    ],
)
def test_a_full_folder_is_refused_untouched(folder: Path, copy: Path, options: dict[str, bool], message: str) -> None:
    before = contents(copy)
    with pytest.raises(UserError, match=message):
        small_build(folder, copy, **options)
    assert contents(copy) == before


@pytest.mark.parametrize("options", [{"overwrite": True}, {"resume": True}])
def test_a_folder_that_no_build_made_is_never_touched(folder: Path, tmp_path: Path, options: dict[str, bool]) -> None:
    (tmp_path / "train-00000.h5").write_text("mine")
    with pytest.raises(UserError, match="no build made it"):
        small_build(folder, tmp_path, **options)
    assert [p.name for p in tmp_path.iterdir()] == ["train-00000.h5"]
    with pytest.raises(UserError, match="is a file"):
        small_build(folder, tmp_path / "train-00000.h5", **options)


def test_overwriting_leaves_only_the_new_set_and_files_of_others(
    folder: Path, straight: BuildResult, copy: Path
) -> None:
    (copy / "notes.txt").write_text("mine")
    other = small_build(folder, copy, "seed=5", overwrite=True, limit=2)
    assert other.digest == naive_digest(copy) != straight.digest
    assert (copy / "notes.txt").read_text() == "mine"
    assert [p.name for p in layout.shards(copy)] == ["train-00000.h5", "val-00000.h5", "test-00000.h5"]


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("seed=9", "seed is 0 there and 9 now"),
        ("scene.density_range=[0.2, 0.3]", r"scene.density_range\[0\] is .* there and 0.2 now"),
        ("looks=[natural, reference]", r'looks\[1\].name is null there and "reference" now'),
        ("shards.samples=8", "shards.samples is 7 there and 8 now"),
        ("shards.codec=gzip", 'shards.codec is "none" there and "gzip" now'),
    ],
)
def test_another_recipe_is_not_resumed_and_the_difference_named(
    folder: Path, copy: Path, override: str, difference: str
) -> None:
    before = contents(copy)
    with pytest.raises(UserError, match=difference):
        small_build(folder, copy, override, resume=True)
    assert contents(copy) == before


def test_another_generator_version_is_not_resumed(folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(copy)
    monkeypatch.setattr(build_state, "GENERATOR_VERSION", build_state.GENERATOR_VERSION + 1)
    with pytest.raises(UserError, match=r"otherwise, .*: generator_version is \d+ there and \d+ now\."):
        small_build(folder, copy, resume=True)
    assert contents(copy) == before


def test_resuming_nothing_starts(folder: Path, straight: BuildResult, tmp_path: Path) -> None:
    assert small_build(folder, tmp_path / "set", resume=True).built == 28
    assert contents(tmp_path / "set") == contents(straight.out)


def test_another_bank_is_not_resumed(folder: Path, copy: Path, tmp_path: Path) -> None:
    bank_file.save_bank(synthetic_bank(per_class=3, shrink=0.35), tmp_path / "other.h5")
    with pytest.raises(UserError, match="bank_digest is"):
        small_build(folder, copy, resume=True, bank=tmp_path / "other.h5")


def damaged(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[: len(data) // 2]
    elif how == "flipped":
        data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    if how == "gone":
        path.unlink()


@pytest.mark.parametrize("how", [pytest.param("cut", marks=pytest.mark.slow), "flipped", "gone"])
@pytest.mark.parametrize("name", ["train-00001.h5", ".smearsynth/train-00001.h5.json"])
def test_a_damaged_shard_or_marker_is_built_again(
    folder: Path, straight: BuildResult, copy: Path, name: str, how: str
) -> None:
    damaged(copy / name, how)
    assert small_build(folder, copy, resume=True).built == 7
    assert contents(copy) == contents(straight.out)


def test_a_marker_of_another_identity_counts_for_nothing(folder: Path, straight: BuildResult, copy: Path) -> None:
    path = copy / ".smearsynth/val-00000.h5.json"
    marker = json.loads(path.read_text())
    record = ShardRecord.from_json(marker["record"])
    build_state.mark(copy, record, "0" * 64)
    assert path.read_text() != json.dumps(marker)
    assert small_build(folder, copy, resume=True).built == 5
    assert contents(copy) == contents(straight.out)


@pytest.mark.parametrize("change", [{"dropped": 1_000}, {"stop": None}, {"combinations": 3}])
def test_a_marker_that_was_changed_counts_for_nothing(
    folder: Path, straight: BuildResult, copy: Path, change: dict[str, object]
) -> None:
    path = copy / ".smearsynth/val-00000.h5.json"
    marker = json.loads(path.read_text())
    path.write_text(json.dumps({**marker, "record": {**marker["record"], **change}}))
    assert small_build(folder, copy, resume=True).built == 5
    assert contents(copy) == contents(straight.out)


def test_a_damaged_bank_is_replaced_by_the_one_that_is_given(folder: Path, straight: BuildResult, copy: Path) -> None:
    damaged(copy / "cells.h5", "flipped")
    before = contents(copy)
    with pytest.raises(UserError, match="its content does not match its digest"):
        small_build(folder, copy, resume=True, bank=None)
    assert contents(copy) == before
    small_build(folder, copy, resume=True)
    assert contents(copy) == contents(straight.out)


def test_a_set_is_overwritten_from_its_own_bank(folder: Path, straight: BuildResult, copy: Path) -> None:
    small_build(folder, copy, overwrite=True, bank=copy / "cells.h5")
    assert contents(copy) == contents(straight.out)


@pytest.mark.parametrize("text", ["{", "7", "[7]", "[{}]"])
def test_what_was_told_of_the_sources_is_never_read_half(folder: Path, copy: Path, text: str) -> None:
    (copy / layout.SOURCES).write_text(text)
    with pytest.raises(UserError, match=r"sources\.json is damaged.*overwrite it"):
        small_build(folder, copy, resume=True, bank=None)


def test_a_target_that_cannot_be_is_refused_before_the_cells_are_cut(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("gone")
    for out in ("file/set", "link", "link/set"):
        with pytest.raises(UserError, match="is a file: name another folder"):
            small_build(folder, tmp_path / out, bank=folder / "gone.h5")


@pytest.mark.parametrize(("name", "value"), [("workers", 0), ("limit", 0), ("engine", "steam")])
def test_impossible_options_are_refused_before_the_disk_is_touched(
    folder: Path, tmp_path: Path, name: str, value: object
) -> None:
    with pytest.raises(UserError):
        small_build(folder, tmp_path / "set", **{name: value})
    assert not (tmp_path / "set").exists()


def test_two_builds_never_write_to_one_folder(folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_PATIENCE", 0.1)
    with layout.locked(copy), pytest.raises(UserError, match="Another build is writing"):
        small_build(folder, copy, overwrite=True)
    assert (copy / "index.json").exists()


def plan_of(folder: Path, out: Path, *overrides: str) -> BuildPlan:
    (out / layout.STATE).mkdir(parents=True)
    recipe = read_recipe(folder / "small.yaml", overrides, roots=False)
    return make_plan(recipe, bank_file.load_bank(folder / "bank.h5"), out)


def test_a_killed_worker_is_told_in_one_sentence(folder: Path, tmp_path: Path) -> None:
    def kill(_: int) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    long = plan_of(folder, tmp_path / "set", "count={train: 4000}")
    with pytest.raises(WorkerDiedError, match=r"worker process died .*SIGKILL.*resume it"):
        run_here(long, workers=2, progress=kill)


def test_a_failure_leaves_finished_shards_only(folder: Path, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        run_here(plan_of(folder, out), workers=1, progress=interrupt)
    assert not list(out.rglob("*.part"))
    assert not (out / "index.json").exists()
    assert len(list(out.glob("*.h5"))) == len(list(out.glob(".smearsynth/*.h5.json")))


KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from small_set import small_build
small_build(Path(sys.argv[2]), Path(sys.argv[3]), "count={train: 20000, val: 300, test: 300}", workers=2)
"""


@pytest.mark.slow
def test_a_build_stopped_by_ctrl_c_resumes_to_the_undisturbed_set(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(folder), str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while len(list(out.glob(".smearsynth/train-*.h5.json"))) < 3:
        assert process.poll() is None, "the build ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.wait()
    assert not (out / "index.json").exists()
    for path in out.glob("*.h5"):
        if path.name != "cells.h5":
            with h5py.File(path) as file:  # what carries a final name is whole
                assert (file["digest"][:] != b"").all()
    with layout.locked(out):  # free as soon as the last worker has noticed
        kept = len(list(out.glob("train-*.h5")))
    count = f"count={{train: {7 * kept + 10}, val: 5, test: 3}}"
    resumed = small_build(folder, out, count, resume=True, workers=2)
    assert resumed.built < resumed.smears
    assert resumed.digest == small_build(folder, tmp_path / "twin", count).digest == naive_digest(out)
    assert contents(out) == contents(tmp_path / "twin")
    assert verify(out, progress=False).whole


def test_a_dry_run_tells_what_the_build_then_does(folder: Path, straight: BuildResult) -> None:
    out, result = straight.out, straight
    forecast = dry_run(folder / "small.yaml", bank=folder / "bank.h5", workers=1)
    assert forecast.measured
    assert forecast.scenes == COUNT
    assert forecast.shards == {"train": 3, "val": 1, "test": 1}
    assert forecast.samples == result.smears
    size = sum(p.stat().st_size for p in layout.shards(out))
    assert 0.6 * size < forecast.bytes < 1.1 * size
    assert not forecast.out.exists()


def test_bench_builds_and_tells_every_figure(folder: Path) -> None:
    figures = bench(folder / "small.yaml", bank=folder / "bank.h5", smears=20, progress=False)
    assert set(figures) == {"digest", "smears", "seconds", "per_second", "per_core", "stages_ms", "peak_mb"}
    assert list(figures["stages_ms"]) == ["plan", "render", "digest", "deflate", "write"]
    assert sum(figures["stages_ms"].values()) <= 1000 / figures["per_core"]
    assert figures["smears"] == 20
    assert all(name in bench_text(figures) for name in ("deflate", "per core", figures["digest"]))
