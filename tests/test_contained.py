"""Work in processes of its own."""

import os
import signal

import pytest

from smearsynth.base.contained import Died, Tick, in_order


def work(task: int, tick: Tick) -> int:
    """Kills itself for 3, ends for 5."""
    tick(task)
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if task == 5:
        os._exit(7)
    return task * task


@pytest.mark.parametrize("workers", [1, 3])
def test_work_that_ends_its_process_is_told_and_the_rest_is_done_in_order(workers: int) -> None:
    heard: list[int] = []
    results = list(in_order(work, range(8), workers=workers, tick=heard.append))
    died = {3: Died("it was ended by SIGKILL"), 5: Died("it ended with code 7")}
    assert results == [died.get(n, n * n) for n in range(8)]
    assert sorted(heard) == list(range(8))
