"""Builds shards in a pool of processes on this machine.

Shards are handed out largest first. A shard is never divided: a set of fewer shards than workers leaves some idle,
and smaller shards (`shards.samples`) mend that without changing a sample. On Linux workers are forked and share the
bank's memory; nothing here has opened an HDF5 file by then, and our compiled loops start no threads that a fork would
lose. Elsewhere they are spawned, and each is sent the plan once.
"""

from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from smearsynth.engines.plan import BuildPlan
from smearsynth.engines.work import Built, StoppedError, finish_shard
from smearsynth.processes import opencv_in_one_thread, start_context, start_worker

_POLL = 0.1
"""Seconds between two looks at the progress."""


class WorkerError(ChildProcessError):
    """A worker process ended without a word."""


@dataclass(frozen=True)
class _Shared:
    """What all processes see. done: samples so far. stop: 1 once workers shall give up."""

    plan: BuildPlan
    done: Any
    stop: Any


_shared: _Shared | None = None
"""In a worker: what it shares with the process that started it."""


def run(plan: BuildPlan, *, workers: int, progress: Callable[[int], None]) -> list[Built]:
    """All shards of the plan, in its order. progress hears of samples as they are done.

    Raises WorkerError if a worker is killed. Whatever is raised, Ctrl-C included, only finished shards are
    left.
    """
    context = start_context()
    shared = _Shared(plan, context.Value("q", 0), context.Value("b", 0))
    pool = ProcessPoolExecutor(min(workers, len(plan.jobs)) or 1, context, _start, (shared,))
    with opencv_in_one_thread(), pool:
        try:
            futures = {number: pool.submit(_finish, number) for number in plan.largest_first()}
            _follow(list(futures.values()), shared, progress)
            return [futures[number].result() for number in range(len(plan.jobs))]
        except BrokenProcessPool as error:
            raise WorkerError(
                "A worker process was killed, perhaps for want of memory; the finished shards are kept: "
                "go on with --resume, and with fewer --workers if memory was short."
            ) from error
        finally:
            shared.stop.value = 1
            pool.shutdown(wait=True, cancel_futures=True)


def _follow(futures: list[Future[Built]], shared: _Shared, progress: Callable[[int], None]) -> None:
    """Reports progress until all are done, or one has failed, whose exception is raised."""
    told, waiting = 0, set(futures)
    while waiting:
        done, waiting = wait(waiting, _POLL, FIRST_EXCEPTION)
        now = shared.done.value
        progress(now - told)
        told = now
        for future in done:
            future.result()


def _start(shared: _Shared) -> None:
    global _shared
    _shared = shared
    start_worker()


def _finish(number: int) -> Built:
    assert _shared is not None
    return finish_shard(_shared.plan, number, _tick)


def _tick(samples: int) -> None:
    assert _shared is not None
    if _shared.stop.value:
        raise StoppedError
    with _shared.done.get_lock():
        _shared.done.value += samples
