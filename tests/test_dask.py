"""The Dask engine, on real schedulers and worker processes: the set of the local engine, whatever dies on the way."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dask_cluster import Cluster, wait_for
from small_set import contents, small_build

import smearsynth
from smearsynth.bank import bank_file
from smearsynth.base.errors import UserError, WorkError
from smearsynth.dataset import build_state, layout
from smearsynth.engines import dask_engine
from smearsynth.engines.build_plan import Job, make_plan
from smearsynth.engines.dask_engine import build_in_worker, version
from smearsynth.verbs.build import BuildResult, finish
from smearsynth.verbs.preparation import read_recipe
from smearsynth.verbs.verify import verify

LONG = "count={train: 1000, val: 60, test: 60}"
SHARDS = 20 + 2 + 2


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    """Of two workers, one of them with two threads."""
    with Cluster(folder / "cluster") as cluster:
        cluster.work()
        cluster.work(threads=2)
        yield cluster


def dask_build(folder: Path, out: Path, cluster: Cluster, *overrides: str, **options: object) -> str:
    return small_build(folder, out, *overrides, engine="dask", scheduler=cluster.address, **options).digest


@pytest.mark.slow
def test_a_cluster_builds_the_local_set_byte_by_byte(
    folder: Path, straight: BuildResult, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # which workers know nothing of
    dask_build(folder, Path("set"), cluster)
    assert contents(tmp_path / "set") == contents(straight.out)


@pytest.mark.slow
def test_either_engine_resumes_what_the_other_began(
    folder: Path, straight: BuildResult, cluster: Cluster, tmp_path: Path
) -> None:
    small_build(folder, tmp_path / "a", limit=4)
    dask_build(folder, tmp_path / "a", cluster, resume=True)
    dask_build(folder, tmp_path / "b", cluster, limit=4)
    assert small_build(folder, tmp_path / "b", resume=True).built == 28 - 3  # test (3) was whole
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(straight.out)


@pytest.mark.slow
def test_a_slice_may_be_built_by_a_cluster(
    folder: Path, straight: BuildResult, cluster: Cluster, tmp_path: Path
) -> None:
    assert dask_build(folder, tmp_path / "set", cluster, shards="3:5") == ""
    small_build(folder, tmp_path / "set", shards="0:3")
    finish(tmp_path / "set", progress=False)
    assert contents(tmp_path / "set") == contents(straight.out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scheduler": "tcp://127.0.0.1:1"}, r"tcp://127\.0\.0\.1:1: no Dask scheduler answers there .*refused"),
        ({"scheduler": "127.0.0.1"}, "an address is such as tcp://host:8786"),
        ({"scheduler": "tcp://127.0.0.1:no"}, "no Dask scheduler answers there"),
        ({"engine": "local", "scheduler": "tcp://127.0.0.1:1"}, r"choose that engine with it \(engine, scheduler\)"),
    ],
)
def test_a_scheduler_that_cannot_be_is_refused_before_the_disk_is_touched(
    folder: Path, tmp_path: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        small_build(folder, tmp_path / "set", **{"engine": "dask", **options})
    assert not (tmp_path / "set").exists()


def test_without_dask_a_sentence_says_how_to_install_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install 'smearsynth\[dask\]'"):
        small_build(folder, tmp_path / "set", engine="dask")


def test_what_a_worker_writes_elsewhere_is_not_taken_for_built(
    folder: Path, straight: BuildResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_engine, "_SEEN", 0.2)
    plan = make_plan(
        read_recipe(folder / "small.yaml", (), roots=False), bank_file.load_bank(folder / "bank.h5"), straight.out
    )
    record = build_state.marked(straight.out, plan.jobs[0].name, plan.identity.hash)
    assert record is not None
    dask_engine._check_seen(straight.out, plan.identity.hash, record)
    with pytest.raises(WorkError, match="this machine does not see it: name a folder on a shared disk"):
        dask_engine._check_seen(tmp_path, plan.identity.hash, record)


def test_a_worker_refuses_another_set_under_the_same_path(straight: BuildResult) -> None:
    job = Job(split="train", ordinal=0, first=0, stop=7)
    with pytest.raises(UserError, match="sees another set at"):
        build_in_worker(str(straight.out), "0" * 64, version(), job)


# From here on, each test has a cluster of its own.


def start(folder: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    """`smearsynth build` of many smears by Dask, in a process group of its own."""
    command = [sys.executable, "-m", "smearsynth", "build", str(folder / "small.yaml"), "--out", str(out)]
    command += ["--bank", str(folder / "bank.h5"), "--workers", "2", "--engine", "dask"]
    command += ["--set", "shards.samples=50", "--set", LONG, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def begun(out: Path, shards: int = 3) -> bool:
    return len(list(out.glob(".smearsynth/*.h5.json"))) >= shards


def parts(out: Path) -> list[Path]:
    return list(out.glob(".smearsynth/*.part*"))


PROGRESS = re.compile(r"set: \d+ of 1,120 smears, .* left")


def told(process: subprocess.Popen[str]) -> str:
    """The one sentence of a build that failed; its workers may have come late, and it may have told how far it is."""
    _, complaint = process.communicate(timeout=600)
    assert process.returncode in (1, 2), complaint
    *notes, sentence = complaint.splitlines()
    late = "has no workers yet; the work begins with the first"
    assert all(late in note or PROGRESS.fullmatch(note) for note in notes), complaint
    return sentence


@pytest.fixture(scope="module")
def twin(folder: Path) -> BuildResult:
    """What the local engine builds of it undisturbed."""
    return small_build(folder, folder / "twin", "shards.samples=50", LONG, workers=2)


def is_straight(out: Path, twin: BuildResult) -> bool:
    """Whether `out` is the set of the local engine. Of so many chunks one may be deflated otherwise."""
    found = verify(out, workers=2, progress=False)
    return found.whole and found.digest == twin.digest and contents(out).keys() == contents(twin.out).keys()


def resumed_is_straight(folder: Path, out: Path, twin: BuildResult) -> bool:
    """By the local engine. Whatever is marked before is whole: it is not built again. A worker that was killed may have
    named its last shard and not yet marked it.
    """
    there = len(list(out.glob(".smearsynth/*.h5.json")))
    assert not parts(out)
    assert there <= len(layout.shards(out)) <= there + 1
    assert there < SHARDS
    built = small_build(folder, out, "shards.samples=50", LONG, resume=True, workers=2).built
    assert built <= 50 * (SHARDS - there)
    return is_straight(out, twin)


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(folder: Path, twin: BuildResult, tmp_path: Path) -> None:
    out = tmp_path / "set"
    with Cluster(tmp_path / "cluster") as cluster:
        first, _ = cluster.work(), cluster.work()
        process = start(folder, out, "--scheduler", cluster.address)
        wait_for(lambda: begun(out))
        first.kill()
        _, complaint = process.communicate(timeout=600)
    assert process.returncode == 0, complaint
    assert "Traceback" not in complaint
    assert is_straight(out, twin)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "scheduler"])
def test_work_that_dies_with_its_workers_or_scheduler_is_told_in_one_sentence_and_resumed(
    folder: Path, twin: BuildResult, tmp_path: Path, victim: str
) -> None:
    out = tmp_path / "set"
    with Cluster(tmp_path / "cluster", DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as cluster:
        worker, _ = cluster.work(), cluster.work()
        cluster.settle()  # a worker that comes late has nothing in hand to lose
        process = start(folder, out, "--scheduler", cluster.address)
        wait_for(lambda: begun(out))
        (worker if victim == "worker" else cluster.scheduler).kill()
        sentence = told(process)
        assert "--resume" in sentence
        assert ("given up after 1 of its workers died" if victim == "worker" else "scheduler") in sentence
        with layout.locked(out, patience=60):  # free as soon as workers have noticed
            layout.sweep(out)  # the killed worker's
        assert resumed_is_straight(folder, out, twin)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_build_leaves_finished_shards_only_and_a_cluster_that_gives_up(
    folder: Path, twin: BuildResult, tmp_path: Path, how: signal.Signals
) -> None:
    out = tmp_path / "set"
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.work()
        cluster.work(threads=2)
        process = start(folder, out, "--scheduler", cluster.address)
        wait_for(lambda: begun(out))
        os.killpg(process.pid, how)
        process.communicate(timeout=600)
        with layout.locked(out, patience=60):
            assert not (out / layout.INDEX).exists()
            assert not parts(out)
        assert resumed_is_straight(folder, out, twin)


@pytest.mark.slow
def test_processes_of_this_machine_listen_to_it_alone_and_end_at_ctrl_c(
    folder: Path, twin: BuildResult, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    process = start(folder, out)
    wait_for(lambda: begun(out))
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    listening = {c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    os.killpg(process.pid, signal.SIGINT)
    _, complaint = process.communicate(timeout=600)
    assert process.returncode == 1
    lines = [line for line in complaint.splitlines() if line and not PROGRESS.fullmatch(line)]
    assert lines == ["Aborted!"]
    assert psutil.wait_procs(family, timeout=30)[1] == []
    assert not (out / layout.INDEX).exists()
    assert resumed_is_straight(folder, out, twin)


@pytest.mark.slow
def test_a_worker_of_another_version_is_refused(folder: Path, tmp_path: Path) -> None:
    package = Path(str(smearsynth.__file__)).parent
    shutil.copytree(package, tmp_path / "other/smearsynth", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / "other/smearsynth/shards/format.py"
    text, times = re.subn(r"^GENERATOR_VERSION = (\d+)", r"GENERATOR_VERSION = 1\1", source.read_text(), flags=re.M)
    assert times == 1
    source.write_text(text)
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.work(PYTHONPATH=str(tmp_path / "other"))
        cluster.settle()
        sentence = told(start(folder, tmp_path / "set", "--scheduler", cluster.address))
    there, here = re.findall(r"generator version (\d+), code \w{16}", sentence)
    assert there == f"1{here}"
    assert "install the same" in sentence


@pytest.mark.slow
def test_a_worker_without_smearsynth_is_told_of(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other/smearsynth").mkdir(parents=True)
    (tmp_path / "other/smearsynth/__init__.py").write_text("raise ImportError('not installed')")
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.work(PYTHONPATH=str(tmp_path / "other"))
        cluster.settle()
        sentence = told(start(folder, tmp_path / "set", "--scheduler", cluster.address))
    assert "cannot load this smearsynth" in sentence
    assert "install the same there" in sentence


@pytest.mark.slow
def test_workers_that_do_not_see_the_folder_or_have_no_room_say_so(
    folder: Path, twin: BuildResult, tmp_path: Path
) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    (tmp_path / "disk").mkdir()
    other = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs tmpfs {tmp_path / "disk"} && exec "$0" "$@"']
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.work(before=other)
        sentence = told(start(folder, tmp_path / "disk/set", "--scheduler", cluster.address))
        assert "does not see" in sentence
        assert "name a folder on a disk that all workers share (--out)" in sentence
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", tmp_path / "disk"], check=True)
    try:
        with Cluster(tmp_path / "another") as cluster:
            cluster.work()
            sentence = told(start(folder, tmp_path / "disk/set", "--resume", "--scheduler", cluster.address))
        assert "the disk is full" in sentence
        subprocess.run(["mount", "-o", "remount,size=200m", tmp_path / "disk"], check=True)
        assert resumed_is_straight(folder, tmp_path / "disk/set", twin)
    finally:
        subprocess.run(["umount", tmp_path / "disk"], check=True)
