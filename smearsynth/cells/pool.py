"""Work spread over processes, in order: the result never depends on how many there are."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tqdm import tqdm

from smearsynth.processes import opencv_in_one_thread, start_context, start_worker

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
                    "A worker process was killed while cells were cut, perhaps for want of memory; try fewer --workers."
                ) from error
            finally:
                executor.shutdown(cancel_futures=True)
