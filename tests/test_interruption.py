"""Builds that are killed, or that fill the disk, at any moment: nothing half-written has a name, and resuming ends in
the set of an undisturbed build."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from PIL import Image
from small_set import naive_digest, prepare

from smearsynth.bank import bank_file
from smearsynth.dataset import layout
from smearsynth.verbs.verify import verify

KILLS = 7
SLICE_KILLS = 5
STEP, SAMPLES = 600, 20
"""Training smears by which a set grows once it is whole before the last kill, and smears of a shard."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("interrupted")
    prepare(path)
    return path


def start(folder: Path, out: Path, train: int, *words: str) -> subprocess.Popen[str]:
    """`smearsynth build` of so many training smears, by two workers, in a process group of its own."""
    command = [sys.executable, "-m", "smearsynth", "build", str(folder / "small.yaml"), "--out", str(out)]
    command += ["--bank", str(folder / "bank.h5"), "--workers", "2", "--set", f"shards.samples={SAMPLES}"]
    command += ["--set", f"count={{train: {train}, val: 60, test: 60}}", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(folder: Path, out: Path, train: int, *words: str) -> None:
    process = start(folder, out, train, *words)
    _, complaint = process.communicate()
    assert process.returncode == 0, complaint


def check_names(out: Path, seen: set[tuple[str, int]]) -> None:
    """Whatever has a final name is whole, by h5py and hashlib; `seen` are files that were looked at before."""
    assert not (out / layout.INDEX).exists()
    if (out / layout.BANK).exists():
        bank_file.load_bank(out / layout.BANK)
    for path in out.glob(f"{layout.STATE}/*.json"):
        json.loads(path.read_text())
    if (out / layout.PREVIEW).exists():
        Image.open(out / layout.PREVIEW).load()
    for path in layout.shards(out):
        if (key := (path.name, path.stat().st_mtime_ns)) in seen:
            continue
        seen.add(key)
        with h5py.File(path) as shard:
            for row in range(len(shard["label"])):
                arrays = (shard[name][row] for name in ("image", "label", "instance"))
                digest = hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()
                assert shard["digest"][row].decode() == digest, path


def same(out: Path, twin: Path) -> bool:
    """Whether `out` is whole and holds the samples, by hashlib too, and the files of its undisturbed twin."""
    found, due = verify(out, labels=True, workers=2, progress=False), json.loads((twin / layout.INDEX).read_text())
    names, twins = ({path.relative_to(root) for path in root.rglob("*")} for root in (out, twin))
    return found.whole and found.digest == due["digest"] == naive_digest(out) and names == twins


def children(process: int) -> list[int]:
    """The workers of a build; what it starts besides, such as `uname`, is none."""
    found = [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [pid for pid in found if b"smearsynth" in command(pid)]


def command(process: int) -> bytes:
    """Its command line, empty where it has ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def work_a_while(process: subprocess.Popen[str], out: Path, rng: random.Random) -> None:
    """Until it has finished a few shards, or none, and a moment more; on a slow machine that takes longer."""
    due = len(layout.shards(out)) + rng.randrange(4)
    while process.poll() is None and len(layout.shards(out)) < due:
        time.sleep(0.005)
    time.sleep(0.3 * rng.random())


def strike(process: subprocess.Popen[str], how: str) -> None:
    """kill -9 to the build, to one of its workers, or to all of it at once."""
    workers = children(process.pid)
    if how == "all":
        os.killpg(process.pid, signal.SIGKILL)
    elif how == "worker" and workers:
        os.kill(workers[-1], signal.SIGKILL)
    else:
        process.kill()
    _, complaint = process.communicate(timeout=60)
    if how == "worker" and workers and process.returncode != 0:  # 0: it had done its last shard
        assert process.returncode == 1
        assert "--resume" in complaint
        assert "Traceback" not in complaint


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_kill_9_at_random_moments_and_resume_ends_in_the_same_set(folder: Path, tmp_path: Path) -> None:
    rng, out = random.Random(6), tmp_path / "set"
    train, kills, seen = STEP, 0, set[tuple[str, int]]()
    while kills < KILLS:
        process = start(folder, out, train, "--resume")
        if rng.random() < 0.75:  # else at any moment from the start of the interpreter on
            while process.poll() is None and not children(process.pid):
                time.sleep(0.005)
            work_a_while(process, out, rng)
        else:
            time.sleep(rng.random())
        if process.poll() is None and not (out / layout.INDEX).exists():
            strike(process, rng.choice(["build", "worker", "all"]))
            kills += 1
            out.mkdir(exist_ok=True)
            with layout.locked(out):  # free as soon as the last worker has noticed
                check_names(out, seen)
        else:
            assert process.wait(timeout=60) == 0
            train += STEP
    assert len(seen) > KILLS
    finish(folder, out, train, "--resume")
    finish(folder, tmp_path / "twin", train)
    assert same(out, tmp_path / "twin")


def two_slices(train: int) -> list[str]:
    """That together are the set of so many training smears; ten shards are in both."""
    shards = train // SAMPLES + 6
    return [f"0:{shards // 2 + 5}", f"{shards // 2 - 5}:{shards}"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_kill_9_of_slices_that_are_built_at_the_same_time_costs_only_what_was_in_hand(
    folder: Path, tmp_path: Path
) -> None:
    rng, out, train = random.Random(5), tmp_path / "set", STEP
    kills, seen = 0, set[tuple[str, int]]()
    while kills < SLICE_KILLS:
        running = [start(folder, out, train, "--shards", numbers) for numbers in two_slices(train)]
        while any(process.poll() is None and not children(process.pid) for process in running):
            time.sleep(0.005)
        for process in running:
            work_a_while(process, out, rng)
            if process.poll() is None:
                strike(process, rng.choice(["build", "worker", "all"]))
                kills += 1
        if all(process.wait(timeout=60) == 0 for process in running):
            train += STEP
        with layout.locked(out, patience=60):
            check_names(out, seen)
    assert len(seen) > SLICE_KILLS
    for process in [start(folder, out, train, "--shards", numbers) for numbers in two_slices(train)]:
        _, complaint = process.communicate(timeout=600)
        assert process.returncode == 0, complaint
    done = subprocess.run([sys.executable, "-m", "smearsynth", "finish", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    finish(folder, tmp_path / "twin", train)
    assert same(out, tmp_path / "twin")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, of 64 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    if shutil.which("mount") is None or not sized(path, "64k"):
        pytest.skip("a small tmpfs cannot be mounted here")
    yield path
    subprocess.run(["umount", path], check=True)


def sized(path: Path, size: str, *remount: str) -> bool:
    """Makes or changes the file system at `path`; whether that may be."""
    options = ",".join([*remount, f"size={size}"])
    return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True).returncode == 0


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_resuming_with_room_ends_in_the_same_set(
    folder: Path, tmp_path: Path, disk: Path
) -> None:
    out, seen = disk / "set", set[tuple[str, int]]()
    for size in ("64k", "500k", "900k", "2m", "2100k"):  # no room for the bank, for a shard, for a later one
        assert sized(disk, size, "remount")
        process = start(folder, out, 300, "--resume")
        _, complaint = process.communicate(timeout=600)
        assert process.returncode == 1, complaint
        assert len(complaint.splitlines()) == 1
        assert "disk" in complaint
        assert "full" in complaint
        check_names(out, seen)
    assert seen
    assert sized(disk, "64m", "remount")
    finish(folder, out, 300, "--resume")
    finish(folder, tmp_path / "twin", 300)
    assert same(out, tmp_path / "twin")
