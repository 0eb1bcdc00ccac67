"""Work in processes of its own: what kills one of them, or never ends in it, harms nothing else and is told."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from smearsynth.base.workers import opencv_in_one_thread, start_context, start_worker

Task = TypeVar("Task")
Result = TypeVar("Result")
Tick = Callable[[int], object]
_SILENCE = 900.0
"""Seconds without a word after which a process counts as caught in an endless loop; a tick is a word."""
_AHEAD = 2
"""Results per worker that may wait for an earlier one."""


@dataclass(frozen=True)
class Died:
    """Stands for the result of work that ended its process. how: in words."""

    how: str


@dataclass(frozen=True)
class _Result:
    value: Any


@dataclass
class _Running:
    number: int
    process: BaseProcess
    heard: float


def in_order(
    work: Callable[[Task, Tick], Result], tasks: Sequence[Task], *, workers: int, tick: Tick
) -> Iterator[Result | Died]:
    """The results of `work(task, tick)`, each made in a process of its own, in the order of the tasks.

    workers: processes at a time. tick hears every number that the work gives its own. A bounded number of results is
    held. Whatever ends the iteration ends the processes.
    """
    running: dict[Connection, _Running] = {}
    done: dict[int, Result | Died] = {}
    started = 0
    with opencv_in_one_thread():
        try:
            for due in range(len(tasks)):
                while due not in done:
                    while started < min(len(tasks), due + _AHEAD * workers) and len(running) < workers:
                        connection, process = _start(work, tasks[started])
                        running[connection] = _Running(started, process, time.monotonic())
                        started += 1
                    done |= dict(_listen(running, tick))
                yield done.pop(due)
        finally:
            for left in running.values():
                left.process.kill()
                left.process.join()


def _start(work: Callable[..., Any], task: Any) -> tuple[Connection, BaseProcess]:
    context = start_context()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(theirs, work, task), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _run(parent: Connection, work: Callable[..., Any], task: Any) -> None:
    start_worker()
    parent.send(_Result(work(task, parent.send)))


def _listen(running: dict[Connection, _Running], tick: Tick) -> Iterator[tuple[int, Any]]:
    """Hears what the processes say within a second, and gives the results of those that have ended."""
    spoke = set(wait(list(running), 1.0))
    for connection, one in list(running.items()):
        if connection in spoke:
            one.heard = time.monotonic()
            try:
                said = connection.recv()
            except (EOFError, OSError):
                one.process.join()
                said = _Result(Died(_how(one.process.exitcode)))
        elif time.monotonic() - one.heard > _SILENCE:
            said = _Result(Died(f"it did not end: not a word for {_SILENCE:.0f} seconds"))
        else:
            continue
        if isinstance(said, _Result):
            yield one.number, said.value
            one.process.kill()
            one.process.join()
            connection.close()
            del running[connection]
        else:
            tick(said)


def _how(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"it was ended by {signal.Signals(-exitcode).name}"
    return f"it ended with code {exitcode}"
