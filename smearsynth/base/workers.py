"""How many cores there are to work on.

How worker processes start and end: forked where that is safe, with OpenCV's threads out of the way.

A fork needs nothing of the caller's script, so a script without a main guard works, and it shares memory. But a
process that is forked while OpenCV keeps a pool of threads waits for those threads for ever, so the pool is ended
before; and processes share the cores already, so none of them needs it.

Work spread over processes, in order: the result never depends on how many there are.

The work of several threads, its results in order and only a few of them held at a time.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import ForkContext, SpawnContext
from typing import Protocol, TypeVar

import cv2
from tqdm import tqdm


def usable_cores() -> int:
    """Cores that this process may use; all of the machine where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_context() -> ForkContext | SpawnContext:
    return multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")


def start_worker() -> None:
    """The first that a worker does. Ctrl-C is its parent's to hear, which then says what is to be given up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed ends at once and leaves the folder to whoever resumes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def opencv_in_one_thread() -> Iterator[None]:
    """For the time that processes are started and work, here too."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


T = TypeVar("T")
R = TypeVar("R")


class Run(Protocol):
    """Applies a function to every item and yields the results in the order of the items."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], what: str) -> Iterator[R]: ...


@contextmanager
def worker_pool(workers: int, progress: bool) -> Iterator[Run]:
    """workers: processes, 1 = this one. progress: a bar on stderr, named `what`, where that is a terminal.

    Whatever is raised inside, work that has not begun is dropped. Raises ChildProcessError if a process is killed.
    """

    def bar(results: Iterator[R], what: str, total: int) -> Iterator[R]:
        yield from tqdm(results, desc=what, total=total, unit="", disable=None if progress else True, leave=False)

    with opencv_in_one_thread():
        if workers == 1:
            yield lambda function, items, what: bar(map(function, items), what, len(items))
            return
        with ProcessPoolExecutor(workers, start_context(), start_worker) as executor:
            try:
                yield lambda function, items, what: bar(executor.map(function, items, chunksize=4), what, len(items))
            except BrokenProcessPool as error:
                raise ChildProcessError(
                    "A worker process was killed while cells were cut, perhaps for want of memory; try fewer workers."
                ) from error
            finally:
                executor.shutdown(cancel_futures=True)


A = TypeVar("A")
B = TypeVar("B")

_MOST = 4
"""Threads; each holds an image of up to 64 megapixels with its mask."""


def in_order(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """As `map`; what `work` raises is raised where its result is due, and the rest is not begun."""
    threads = min(_MOST, usable_cores())
    pool, begun = ThreadPoolExecutor(threads, thread_name_prefix="import"), deque[Future[B]]()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
