"""Work spread over processes, in order: the result never depends on how many there are."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Protocol, TypeVar

import cv2
from tqdm import tqdm

_START = "fork" if sys.platform == "linux" else "spawn"
"""Forked workers need nothing of the caller's script, so a script without a main guard works too."""

T = TypeVar("T")
R = TypeVar("R")


class Run(Protocol):
    """Applies a function to every item and yields the results in the order of the items."""

    def __call__(self, function: Callable[[T], R], items: Sequence[T], what: str) -> Iterator[R]: ...


@contextmanager
def worker_pool(workers: int, progress: bool) -> Iterator[Run]:
    """workers: processes, 1 = this one. progress: a bar on stderr, named `what`, where that is a terminal."""

    def bar(results: Iterator[R], what: str, total: int) -> Iterator[R]:
        yield from tqdm(results, desc=what, total=total, unit="", disable=None if progress else True, leave=False)

    if workers == 1:
        _one_thread()
        yield lambda function, items, what: bar(map(function, items), what, len(items))
        return
    with ProcessPoolExecutor(workers, mp_context=get_context(_START), initializer=_one_thread) as executor:
        yield lambda function, items, what: bar(executor.map(function, items, chunksize=4), what, len(items))


def _one_thread() -> None:
    """Processes share the cores already; threads of OpenCV inside each would only get into each other's way."""
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
