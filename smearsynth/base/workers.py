"""Work spread over the cores of this machine, its results always in the order of the tasks, however many workers.

`in_processes` keeps some processes busy with one task after the other. `isolated` gives each task a process of its
own, so that one that crashes or never ends, as HDF5 can on a file of someone else, costs its own result alone.
`in_threads` is for work that waits for the disk or for libraries that release the interpreter's lock, and `Companions`
for threads whose work does not: each has a process of its own, which it asks and waits for.

The standard library's pool of processes has queues that all workers share, and so locks: one that a killed worker
holds keeps the others, and the caller, waiting for ever. Here each worker has a pipe of its own and nothing is shared.
The price is that every message passes through one loop of the parent, which is nothing for tasks of milliseconds.

On Linux workers are forked: the caller's script needs no main guard, and tasks are inherited instead of sent. A
process that is forked while OpenCV keeps a pool of threads waits for those threads for ever, so that pool is ended
before; and processes share the cores already, so none of them needs it. Elsewhere workers are spawned, and each is
sent the work and all tasks once.
"""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, SpawnContext
from typing import Any, ClassVar, TypeVar
from weakref import WeakSet

from smearsynth.base.errors import UserError, WorkError
from smearsynth.base.progress import ProgressBar

Task = TypeVar("Task")
Result = TypeVar("Result")
Tick = Callable[[int], object]
"""Hears how much more is done."""

_STARTED = None
"""First message of a worker."""
_CHUNK = 4
"""Items that `map_in_processes` makes one task of: enough that a worker hardly ever waits for its next."""
_THREADS = 4
"""Each holds an image of up to 64 megapixels with its mask."""
_SILENCE = 900.0
"""Seconds without a message after which an isolated process counts as caught in an endless loop; a tick is one."""


class WorkerDiedError(WorkError):
    """A worker process was killed, or ended itself."""


class GivenUpError(Exception):
    """What a worker's tick raises once nobody waits for the result any more."""


@dataclass(frozen=True)
class Died:
    """Stands for the result of an isolated task that ended its process. how: in words, after "cannot be read: ".
    unborn: it was to be spawned, and ended before it took a task."""

    how: str
    unborn: bool = False


def usable_cores() -> int:
    """Cores that this process may use; all of the machine where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def checked_workers(workers: int | None) -> int:
    """`workers`, by default one per core that this process may use. Raises UserError where it is less than 1."""
    if workers is None:
        return usable_cores()
    if workers < 1:
        raise UserError(f"{workers} are too few: give 1 or more", "workers")
    return workers


def peak_mb() -> float:
    """Most memory that this process has held so far (resident), MB of 10^6 bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def in_processes(
    work: Callable[[Task, Tick], Result],
    tasks: Sequence[Task],
    *,
    workers: int,
    tick: Tick = lambda _: None,
    order: Sequence[int] | None = None,
) -> Iterator[Result]:
    """The result of `work(task, tick)` of every task, made by so many processes.

    tick: hears, in this process, every number that the work gives its own, and 0 after a second of silence. order:
    numbers of the tasks, as they shall begin. Raises what the work raises, with its traceback as a note, and
    WorkerDiedError where a worker is killed. Whatever ends the iteration, Ctrl-C included: the tasks in hand are given
    up at their next tick, and the workers have ended. A caller that may raise between two results closes the iterator
    (`contextlib.closing`).
    """
    return _run(work, tasks, workers, tick, range(len(tasks)) if order is None else order, isolate=False)


def isolated(
    work: Callable[[Task, Tick], Result], tasks: Sequence[Task], *, workers: int, tick: Tick = lambda _: None
) -> Iterator[Result | Died]:
    """As `in_processes`, each task in a process of its own. What ends that process, be it an exception, gives a `Died`
    in place of the result, and so does a silence of a quarter of an hour. Processes that are not needed are killed."""
    return _run(work, tasks, workers, tick, range(len(tasks)), isolate=True)


def map_in_processes(
    function: Callable[[Task], Result],
    items: Sequence[Task],
    *,
    workers: int,
    bar: str | None = None,
    unit: str = "items",
) -> Iterator[Result]:
    """`map(function, items)` by so many processes, 1 = in this one. bar, unit: what is done, and what is counted, as a
    progress bar says it; None: no bar. Raises as `in_processes`."""
    with ProgressBar(what=bar or "", unit=unit, total=len(items), shown=bar is not None) as progress:
        if workers == 1:
            with opencv_in_one_thread():
                for item in items:
                    yield function(item)
                    progress.update()
            return
        chunks = [items[first : first + _CHUNK] for first in range(0, len(items), _CHUNK)]
        for results in in_processes(partial(_each, function), chunks, workers=workers, tick=progress.update):
            yield from results
            progress.update(len(results))


def _each(function: Callable[[Task], Result], chunk: Sequence[Task], _: Tick) -> list[Result]:
    return [function(item) for item in chunk]


def in_threads(work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """As `map`, by up to four threads, and no more than five results are held. What `work` raises is raised where its
    result is due, and the rest is not begun."""
    threads = min(_THREADS, usable_cores())
    pool, begun = ThreadPoolExecutor(threads), deque[Future[Result]]()
    try:
        for task in tasks:
            begun.append(pool.submit(work, task))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Companions:
    """`work`, called from threads and done in processes: one for each thread that calls, from its first call to its
    end. In the main thread it is done at once."""

    _crew: ClassVar["WeakSet[_Worker]"] = WeakSet()
    """Of all threads: a process that is forked inherits the pipes of those before it."""
    _starting = threading.Lock()

    def __init__(self, work: Callable[[int], Result]) -> None:
        self._work, self._mine = work, threading.local()

    def __call__(self, number: int) -> Any:
        """work(number). Raises what it raises, and WorkerDiedError where the process was killed."""
        if threading.current_thread() is threading.main_thread():
            return self._work(number)
        if not hasattr(self._mine, "worker"):
            self._mine.worker = self._start()
        # Held by nothing but the thread: so its pipe is closed, and the process ends, when the thread does.
        self._mine.worker.give(number)
        while not isinstance(message := self._mine.worker.receive(), _Outcome | Died):
            assert message is _STARTED, "this work has no ticks"
        return _result(message)

    def _start(self) -> "_Worker":
        with self._starting, opencv_in_one_thread():
            worker = _Worker(partial(_without_tick, self._work), range(sys.maxsize), [w.pipe for w in self._crew])
            self._crew.add(worker)
            return worker

    def __reduce__(self) -> tuple[type["Companions"], tuple[Callable[[int], Any]]]:
        return Companions, (self._work,)


def _without_tick(work: Callable[[int], Result], number: int, _: Tick) -> Result:
    return work(number)


@contextmanager
def opencv_in_one_thread() -> Iterator[None]:
    """For the time that processes are started and work, in this one too."""
    import cv2  # a training that only reads shards does not need it

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


@dataclass(frozen=True)
class _Outcome:
    """What a worker sends at the end of a task; before it come ticks, which are plain numbers."""

    result: Any = None
    error: Exception | None = None


def _run(
    work: Callable[[Any, Tick], Any],
    tasks: Sequence[Any],
    workers: int,
    tick: Tick,
    order: Sequence[int],
    *,
    isolate: bool,
) -> Iterator[Any]:
    waiting = deque(order)
    crew: list[_Worker] = []
    done: dict[int, Any] = {}
    with opencv_in_one_thread():
        try:
            for due in range(len(tasks)):
                while due not in done:
                    while waiting and len(crew) < workers:
                        crew.append(_Worker(work, tasks, [other.pipe for other in crew]))
                        crew[-1].give(waiting.popleft())
                    spoke = set(wait([worker.pipe for worker in crew], 1.0))
                    if not spoke:
                        tick(0)
                    for worker in list(crew):
                        if worker.pipe in spoke:
                            message = worker.receive()
                        elif isolate and time.monotonic() - worker.heard > _SILENCE:
                            message = Died(f"it did not end: not a word for {_SILENCE:.0f} seconds")
                        else:
                            continue
                        if message is _STARTED:
                            continue
                        if not isinstance(message, _Outcome | Died):
                            tick(message)
                            continue
                        done[worker.number] = _isolated_result(message) if isolate else _result(message)
                        if isolate:
                            crew.remove(worker)
                            _end([worker], kill=True)
                        elif waiting:
                            worker.give(waiting.popleft())
                yield done.pop(due)
        finally:
            _end(crew, kill=isolate)


def _result(message: _Outcome | Died) -> Any:
    if isinstance(message, Died):
        if message.unborn:
            raise WorkerDiedError(
                f"A worker process did not start ({message.how}): on this system each one runs your script again up to "
                "its end; put what it does under `if __name__ == '__main__':`."
            )
        raise WorkerDiedError(f"A worker process died ({message.how}); if memory was short, fewer workers need less.")
    if message.error is not None:
        raise message.error
    return message.result


def _isolated_result(message: _Outcome | Died) -> Any:
    if isinstance(message, Died):
        return message
    return Died(f"it raised {type(message.error).__name__}") if message.error is not None else message.result


class _Worker:
    """A process as its parent sees it. number: of the task in hand. heard: when it was given that, or spoke last."""

    def __init__(
        self, work: Callable[[Any, Tick], Any], tasks: Sequence[Any], pipes_of_others: Sequence[Connection]
    ) -> None:
        context = _start_context()
        self.pipe, theirs = context.Pipe()
        # A pipe ends once all that hold its other end have closed it, and a fork inherits those of earlier workers.
        inherited = [self.pipe, *pipes_of_others] if isinstance(context, ForkContext) else []
        self.process = context.Process(target=_serve, args=(theirs, inherited, work, tasks), daemon=True)
        self.process.start()
        theirs.close()
        self.number, self.heard = -1, time.monotonic()
        self._started = isinstance(context, ForkContext)

    def give(self, number: int) -> None:
        self.number, self.heard = number, time.monotonic()
        with suppress(OSError):  # it was killed, which is heard next
            self.pipe.send(number)

    def receive(self) -> Any:
        """`_STARTED`, a tick, an `_Outcome`, or how it has died."""
        self.heard = time.monotonic()
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            how = f"it was ended by {signal.Signals(-code).name}" if code < 0 else f"it ended with code {code}"
            return Died(how, unborn=not self._started and code > 0)
        self._started = True
        return message


def _start_context() -> ForkContext | SpawnContext:
    return multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")


def _end(crew: Sequence[_Worker], *, kill: bool) -> None:
    """A worker whose pipe is closed ends at its next tick, at the latest after its task."""
    for worker in crew:
        worker.pipe.close()
        if kill:
            worker.process.kill()
    for worker in crew:
        worker.process.join()


def _serve(pipe: Connection, inherited: Sequence[Connection], work: Callable[[Any, Tick], Any], tasks: Any) -> None:
    """What a worker does: each task whose number it receives, until the pipe is closed."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is its parent's to hear, which then closes the pipe
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for connection in inherited:
        connection.close()

    def tick(done: int) -> None:
        try:
            pipe.send(done)
        except OSError:
            raise GivenUpError from None

    with suppress(EOFError, OSError, GivenUpError):
        pipe.send(_STARTED)
        while True:
            task = tasks[pipe.recv()]
            try:
                outcome = _Outcome(result=work(task, tick))
            except GivenUpError:
                raise
            except Exception as error:
                error.add_note(traceback.format_exc())
                outcome = _Outcome(error=error)
            pipe.send(outcome)


def _end_with_parent() -> None:
    """A worker whose parent was killed ends at once and leaves the folder to whoever resumes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
