"""Builds shards by processes on this machine.

Shards are handed out largest first. A shard is never divided: a set of fewer shards than workers leaves some idle,
and smaller shards (`shards.samples`) mend that without changing a sample. On Linux workers are forked and share the
bank's memory; nothing here has opened an HDF5 file by then, and our compiled loops start no threads that a fork would
lose. Elsewhere they are spawned, and each is sent the plan once.

Each worker has a pipe of its own, and nothing that processes share has a lock: one that a killed worker held would
keep the others, and the build, waiting for ever. The standard library's pool has such locks.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from smearsynth.base.workers import opencv_in_one_thread, start_context, start_worker
from smearsynth.engines.build_plan import BuildPlan
from smearsynth.engines.shard_job import Built, StoppedError, finish_shard

_POLL = 0.1
"""Seconds between two looks at the progress."""


class WorkerError(ChildProcessError):
    """A worker process ended without a word."""


@dataclass(frozen=True)
class _Shared:
    """What all processes see. done: samples so far of each shard, each written by one worker. stop: 1 once workers
    shall give up.
    """

    plan: BuildPlan
    done: Any
    stop: Any


def run(plan: BuildPlan, *, workers: int, progress: Callable[[int], None]) -> list[Built]:
    """All shards of the plan, in its order. progress hears of samples as they are done.

    Raises WorkerError if a worker is killed, and what a worker raises, with its traceback as a note. Whatever is
    raised, Ctrl-C included, only finished shards are left.
    """
    context = start_context()
    shared = _Shared(plan, context.RawArray("q", len(plan.jobs)), context.RawValue("b", 0))
    order = iter(plan.largest_first())
    built: dict[int, Built] = {}
    told = 0
    with opencv_in_one_thread(), _workers(min(workers, len(plan.jobs)), shared) as pipes:
        try:
            for pipe in pipes:
                pipe.send(next(order))
            while len(built) < len(plan.jobs):
                ready = wait(pipes, _POLL)
                for pipe in (pipe for pipe in pipes if pipe in ready):
                    built.update([_received(pipe)])
                    if (number := next(order, None)) is not None:
                        pipe.send(number)
                now = sum(shared.done)
                progress(now - told)
                told = now
        except (EOFError, ConnectionError) as error:
            raise WorkerError(
                "A worker process was killed, perhaps for want of memory; the finished shards are kept: "
                "resume it, with fewer workers if memory was short",
            ) from error
    return [built[number] for number in range(len(plan.jobs))]


@contextmanager
def _workers(count: int, shared: _Shared) -> Iterator[list[Connection]]:
    """Processes that serve until they receive None, and the pipe of each. They have ended when this does."""
    context, processes, pipes = start_context(), [], []
    try:
        for _ in range(count):
            pipe, theirs = context.Pipe()
            processes.append(context.Process(target=_serve, args=(shared, theirs), daemon=True))
            processes[-1].start()
            theirs.close()
            pipes.append(pipe)
        yield pipes
    finally:
        shared.stop.value = 1
        for pipe in pipes:
            with suppress(ConnectionError):
                pipe.send(None)
        for process in processes:
            process.join()


def _received(pipe: Connection) -> tuple[int, Built]:
    """The number of a shard, and what it became. Raises what the worker raised, EOFError where it was killed."""
    said = pipe.recv()
    if isinstance(said, Exception):
        raise said
    return said


def _serve(shared: _Shared, pipe: Connection) -> None:
    """What a worker does: each shard whose number it receives, until it receives None."""
    start_worker()
    for number in iter(pipe.recv, None):
        try:
            pipe.send((number, finish_shard(shared.plan, number, partial(_tick, shared, number))))
        except Exception as error:
            error.add_note(traceback.format_exc())
            pipe.send(error)


def _tick(shared: _Shared, number: int, samples: int) -> None:
    if shared.stop.value:
        raise StoppedError
    shared.done[number] += samples
