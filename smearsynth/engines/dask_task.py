"""What a Dask worker does: one shard.

What it takes besides the shard's name, recipe and bank, each worker reads once from the folder of the set, which it
must see anyway to write there. Data that is scattered over a cluster is lost with its last holder, and the tasks that
need it with it; the folder is not, so a shard can be built again wherever and as often as workers die.
"""

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from smearsynth.compiled import code_digest
from smearsynth.dataset import layout
from smearsynth.engines.plan import BuildPlan, Job, read_plan
from smearsynth.engines.work import Built, StoppedError, finish_shard, warm_up
from smearsynth.errors import UserError
from smearsynth.processes import opencv_in_one_thread
from smearsynth.shards.format import GENERATOR_VERSION

Version = tuple[int, str]
"""GENERATOR_VERSION, and the digest of the code."""


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


def finish(out: str, identity: str, client: Version, job: Job) -> Built:
    """In a worker: the shard, built unless it is there already."""
    host, folder = socket.gethostname(), Path(out)
    check_version(client)
    if not (folder / layout.IDENTITY).is_file():
        raise UserError(f"The worker on {host} does not see {out}: give --out on a disk that all workers share.")
    with opencv_in_one_thread(), layout.locked(folder, shared=True, patience=layout.PATIENCE_OF_SLICES):
        plan = _plan(folder, identity)
        return finish_shard(replace(plan, jobs=(job,)), 0, _tick())


_reading = threading.Lock()


def _plan(out: Path, identity: str) -> BuildPlan:
    """Read once, also where a worker has several threads."""
    with _reading:
        return _read_plan(out, identity)


@lru_cache(maxsize=1)
def _read_plan(out: Path, identity: str) -> BuildPlan:
    _, plan, _ = read_plan(out)
    if plan.identity != identity:
        raise UserError(f"The worker on {socket.gethostname()} sees another set at {out}: give --out on a shared disk.")
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
            raise StoppedError

    return tick
