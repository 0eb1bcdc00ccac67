"""Work spread over processes and threads: in order, whatever becomes of a worker, and none is left."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import cv2
import pytest

from smearsynth.base import workers as pool
from smearsynth.base.errors import UserError
from smearsynth.base.workers import Died, Tick, WorkerDiedError, in_processes, in_threads, isolated, map_in_processes


def squared(task: int, tick: Tick) -> int:
    tick(task)
    return task * task


def deadly(task: int, tick: Tick) -> int:
    """Kills itself for 3, ends for 5, fails for 6."""
    tick(task)
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 5:
        os._exit(7)
    if task == 6:
        raise UserError("it is 6")
    return task * task


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    threads = cv2.getNumThreads()
    yield
    assert not multiprocessing.active_children()
    assert cv2.getNumThreads() == threads


@pytest.mark.parametrize("spread", [in_processes, isolated])
@pytest.mark.parametrize("workers", [1, 20])
def test_results_and_ticks_of_all_tasks_come_in_order(spread: Callable[..., Iterator[int]], workers: int) -> None:
    heard: list[int] = []
    assert list(spread(squared, range(7), workers=workers, tick=heard.append)) == [n * n for n in range(7)]
    assert sorted(heard) == list(range(7))
    assert list(spread(squared, [], workers=workers)) == []


def test_tasks_begin_in_the_order_that_is_asked_for() -> None:
    heard: list[int] = []
    order = [3, 0, 4, 1, 2]
    assert list(in_processes(squared, range(5), workers=1, tick=heard.append, order=order)) == [0, 1, 4, 9, 16]
    assert heard == order


@pytest.mark.parametrize("workers", [1, 3])
def test_an_isolated_task_that_ends_its_process_costs_its_own_result_alone(workers: int) -> None:
    heard: list[int] = []
    results = list(isolated(deadly, range(8), workers=workers, tick=heard.append))
    died = {3: "it was ended by SIGKILL", 5: "it ended with code 7", 6: "it raised UserError"}
    assert results == [Died(died[n]) if n in died else n * n for n in range(8)]
    assert sorted(heard) == list(range(8))


def test_an_isolated_task_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_SILENCE", 0.5)
    results = list(isolated(lambda task, _: time.sleep(task), [0, 1000], workers=2))
    assert results[0] is None
    assert "not a word" in results[1].how


@pytest.mark.parametrize(("task", "how"), [(3, "SIGKILL"), (5, "code 7")])
def test_a_worker_that_dies_is_an_error_that_says_how(task: int, how: str) -> None:
    with pytest.raises(WorkerDiedError, match=rf"worker process died \(.*{how}\)"):
        list(in_processes(deadly, [0, 1, task, 2], workers=2))


@pytest.mark.slow
def test_a_spawned_worker_of_a_script_without_a_main_guard_says_so(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import multiprocessing\n"
        "from smearsynth.base import workers\n"
        "workers._start_context = lambda: multiprocessing.get_context('spawn')\n"
        "print(list(workers.map_in_processes(abs, [-1, -2], workers=2)))\n"
    )
    ended = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=100)
    assert "did not start (it ended with code 1)" in ended.stderr.splitlines()[-1]
    assert "put what it does under `if __name__ == '__main__':`" in ended.stderr.splitlines()[-1]


def test_what_a_task_raises_is_raised_here_with_where_it_was() -> None:
    with pytest.raises(UserError, match="it is 6") as caught:
        list(in_processes(deadly, [0, 6], workers=2))
    assert "in deadly" in "".join(caught.value.__notes__)


def endless(_: int, tick: Tick) -> None:
    while True:
        tick(1)
        time.sleep(0.001)


def test_what_is_raised_here_ends_the_tasks_at_their_next_tick() -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_processes(endless, range(4), workers=3, tick=interrupt))
    with closing(in_processes(squared, range(100), workers=2)) as results:
        assert next(results) == 0


def test_ctrl_c_in_a_terminal_which_all_processes_hear_is_the_parents_to_answer() -> None:
    def interrupt(_: int) -> None:
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGINT)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_processes(endless, range(2), workers=2, tick=interrupt))


def kill_one_soon(rng: random.Random, within: float) -> None:
    while not (children := multiprocessing.active_children()):
        time.sleep(0.0005)
    time.sleep(within * rng.random())
    with suppress(IndexError):
        children[0].kill()


@pytest.mark.slow
@pytest.mark.parametrize("big", [0, 300_000])
def test_a_worker_may_be_killed_at_any_moment_and_none_waits_for_it(big: int) -> None:
    """Small tasks, so that workers are often killed while they wait for one, or are in the midst of a result."""
    rng, killed, items = random.Random(big), 0, list(range(400))
    while killed < 20:
        striker = threading.Thread(target=kill_one_soon, args=(rng, 0.05))
        striker.start()
        try:
            assert list(map_in_processes(lambda n: bytes(big + n), items, workers=2)) == [bytes(big + n) for n in items]
        except WorkerDiedError:
            killed += 1
        striker.join()


def fail(number: int) -> int:
    raise UserError(f"item {number}")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_map_is_in_order_and_has_opencv_in_one_thread(workers: int) -> None:
    assert list(map_in_processes(str, range(20), workers=workers)) == [str(n) for n in range(20)]
    assert set(map_in_processes(lambda _: cv2.getNumThreads(), range(4), workers=workers)) == {1}
    with pytest.raises(UserError, match="item 0"):
        list(map_in_processes(fail, range(4), workers=workers))


def test_threads_give_results_in_order_and_hold_only_a_few() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return -number

    results = in_threads(work, range(50))
    assert next(results) == 0
    assert len(begun) <= 5
    assert list(results) == [-n for n in range(1, 50)]
    with pytest.raises(UserError, match="item 0"):
        list(in_threads(fail, range(9)))
