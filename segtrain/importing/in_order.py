"""The work of several threads, its results in order and only a few of them held at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from smearsynth.cores import usable_cores

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
