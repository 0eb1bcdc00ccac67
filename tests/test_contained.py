"""What verify stands on: work in processes of its own, and maps counted in one pass."""

import os
import signal

import numpy as np
import pytest

from smearsynth.base.contained import Died, Tick, in_order
from smearsynth.dataset.verify.sample_check import survey


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


def test_a_survey_is_a_recount_by_numpy() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 1, 6):
        classes = rng.integers(1, 10, n)
        instance = rng.integers(0, n + 2, (13, 17)).astype(np.uint16)
        label = np.concatenate([[0], classes, [0]])[np.minimum(instance, n + 1)].astype(np.uint8)
        label[4, 5] = 99
        found = survey(label, instance, classes)
        due = np.concatenate([[0], classes, [-1]])[instance]
        wrong = np.argwhere(due != label)
        assert (found.strange, found.y, found.x) == (len(wrong), *wrong[0])
        assert found.pixels.tolist() == np.bincount(label.ravel(), minlength=256).tolist()
        for i in range(n):
            ys, xs = np.nonzero(instance == i + 1)
            box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1] if len(xs) else [0] * 4
            assert found.seen[i].tolist() == [*box, len(xs)]
