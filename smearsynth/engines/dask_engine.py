"""The Dask engine: shards on a cluster that is there, or on one of processes of this machine.

A task is one shard. What it takes besides the shard's number, recipe and bank, each worker reads once from the folder
of the set, which it must see anyway to write there: data that is scattered over a cluster is lost with its last
holder, and the tasks that need it with it. The folder is not, so a shard can be built again wherever and as often as
workers die. Dask hands a shard whose worker died to another; should it have two build one at the same time, either
will do (see `dataset.layout`).

Dask is optional: `distributed` is imported where it is used.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smearsynth.base.compiled import code_digest
from smearsynth.base.errors import UserError, WorkError
from smearsynth.base.progress import say
from smearsynth.base.workers import GivenUpError, opencv_in_one_thread
from smearsynth.dataset import build_state, layout
from smearsynth.dataset.index import ShardRecord
from smearsynth.engines.build_plan import BuildPlan, Job, read_plan
from smearsynth.engines.shard_job import Built, finish_shard, warm_up
from smearsynth.shards.format import GENERATOR_VERSION

_CONNECT = 10.0
"""Seconds for a scheduler to answer."""
_SEEN = 60.0
"""Seconds until this machine must see what a worker has written: NFS keeps what it knows of a folder for so long."""
_IGNORE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What each worker that is started here begins with: Ctrl-C is for this process to answer."""
_reading = threading.Lock()

Version = tuple[int, str]
"""GENERATOR_VERSION, and the digest of the code."""


def check(scheduler: str | None) -> None:
    """UserError where Dask is not installed, or nothing answers at the address of the scheduler."""
    if find_spec("distributed") is None:
        raise UserError("dask needs the package distributed: install it by `pip install 'smearsynth[dask]'`", "engine")
    if scheduler is None:
        return
    try:
        address = urlsplit(scheduler)
        if not address.scheme or not address.hostname or not address.port:
            raise ValueError("an address is such as tcp://host:8786")
        socket.create_connection((address.hostname, address.port), _CONNECT).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{scheduler}: no Dask scheduler answers there ({error}): start one by `dask scheduler`, or correct the "
            "address",
            "scheduler",
        ) from error


def run(plan: BuildPlan, *, workers: int, scheduler: str | None, progress: Callable[[int], object]) -> list[Built]:
    """All shards of the plan, in its order, by the cluster of `scheduler`, or by `workers` processes of this machine.

    progress hears of samples as shards are done. Raises WorkError if shards cannot be built there, and what a worker
    raises. Whatever is raised, Ctrl-C included, only finished shards are left: a worker that has one in hand notices
    at its next sample, also if this process is killed.
    """
    out = plan.out.absolute()
    with _client(workers, scheduler) as client:
        futures = {
            client.submit(
                build_in_worker, str(out), plan.identity.hash, version(), plan.jobs[number], pure=False
            ): number
            for number in plan.largest_first()
        }
        built: dict[int, Built] = {}
        try:
            for future, shard in _results(list(futures)):
                _check_seen(out, plan.identity.hash, shard.record)
                built[futures[future]] = shard
                progress(shard.record.samples)
        finally:
            client.cancel(list(futures))
    return [built[number] for number in range(len(plan.jobs))]


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    """A client of the scheduler, or of a cluster that is started here. It logs nothing: exceptions say all."""
    from distributed.utils import silence_logging_cmgr

    client = _started(workers) if scheduler is None else _connected(scheduler)
    with silence_logging_cmgr(logging.CRITICAL, "distributed.client"), client as it:
        yield it


@contextmanager
def _started(workers: int) -> Iterator[Any]:
    """Of processes that listen to this machine alone."""
    from distributed import Client, LocalCluster

    options = {
        "host": "127.0.0.1",
        # Without an address its page takes port 8787, and warns where another has it.
        "dashboard_address": "127.0.0.1:0",
        "preload": [_IGNORE_CTRL_C],
        "silence_logs": logging.CRITICAL,
    }
    with LocalCluster(n_workers=workers, threads_per_worker=1, **options) as cluster, Client(cluster) as client:
        yield client


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout=_CONNECT)
    except OSError as error:  # TimeoutError is one
        raise UserError(f"{scheduler}: what answers there is no Dask scheduler ({error})", "scheduler") from error
    with client:
        if not client.nthreads():
            say(f"{scheduler} has no workers yet; the work begins with the first.")
        _check_workers(client)
        yield client


def _check_workers(client: Any) -> None:
    """UserError where a worker cannot do a task: one that cannot even read it would die of it, and of the next."""
    for worker, error in client.run(check_version, version(), on_error="return").items():
        if isinstance(error, UserError):
            raise error
        if error is not None:
            raise UserError(f"The worker at {worker} cannot load this smearsynth ({error}): install the same there.")


def _results(futures: list[Any]) -> Iterator[tuple[Any, Built]]:
    """Each future and what it gave, as they are done. Raises what a worker raised, WorkError where none could."""
    import distributed
    from distributed.comm import CommClosedError

    try:
        for future in distributed.as_completed(futures):
            yield future, future.result()
    except distributed.KilledWorker as error:
        raise WorkError(
            f"A shard was given up after {error.allowed_failures + 1} of its workers died, perhaps for want of memory; "
            "the finished shards are kept: resume it, with fewer workers to a machine if memory was short",
            "resume",
        ) from error
    except (CancelledError, CommClosedError) as error:
        raise WorkError(
            "The scheduler gave up the work, or was lost; the finished shards are kept: resume it", "resume"
        ) from error


def _check_seen(out: Path, identity: str, record: ShardRecord) -> None:
    """WorkError where a shard that a worker wrote is not on the disk that this machine sees."""
    deadline = time.monotonic() + _SEEN
    while build_state.marked(out, record.name, identity) is None:
        if time.monotonic() > deadline:
            raise WorkError(
                f"A worker wrote {out / record.name}, and this machine does not see it: name a folder on a shared disk",
                "out",
            )
        time.sleep(0.1)


def version() -> Version:
    return GENERATOR_VERSION, code_digest()


def check_version(client: Version) -> None:
    """UserError where the code here is not that of the client."""
    if client != version():
        there, here = (f"generator version {v[0]}, code {v[1]}" for v in (version(), client))
        raise UserError(
            f"The worker on {socket.gethostname()} runs another smearsynth ({there}) than this machine ({here}): "
            "install the same on both."
        )


def build_in_worker(out: str, identity: str, client: Version, job: Job) -> Built:
    """The task: a shard, built unless it is there already. client: version of who asks for it."""
    host, folder = socket.gethostname(), Path(out)
    check_version(client)
    if not (folder / layout.IDENTITY).is_file():
        raise UserError(
            f"The worker on {host} does not see {out}: name a folder on a disk that all workers share", "out"
        )
    with opencv_in_one_thread(), layout.locked(folder, shared=True, patience=layout.PATIENCE_OF_SLICES):
        with _reading:  # a worker may have several threads
            plan = _read_plan(folder, identity)
        return finish_shard(replace(plan, jobs=(job,)), 0, _tick())


@lru_cache(maxsize=1)
def _read_plan(out: Path, identity: str) -> BuildPlan:
    """Once for all shards of a set."""
    _, plan = read_plan(out)
    if plan.identity.hash != identity:
        raise UserError(
            f"The worker on {socket.gethostname()} sees another set at {out}: name one on a shared disk", "out"
        )
    warm_up(plan)
    return plan


def _tick() -> Callable[[int], None]:
    """Gives the shard in hand up once nobody waits for it any more."""
    import distributed

    worker = distributed.get_worker()
    key = worker.get_current_task()

    def tick(_: int) -> None:
        task = worker.state.tasks.get(key)
        if task is None or task.state == "cancelled":
            raise GivenUpError

    return tick
