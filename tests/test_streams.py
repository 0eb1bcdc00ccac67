"""Random streams: the compiled generator, the numpy one and the published algorithm are one."""

import numpy as np

from smearsynth.base.splitmix import GAMMA, mix
from smearsynth.base.streams import below, next_u64, stream


def test_a_stream_draws_what_numpy_mixes() -> None:
    state = stream("test", 1)
    states = state + np.arange(100, dtype=np.uint64) * np.uint64(GAMMA)
    assert [int(next_u64(state)) for _ in range(100)] == mix(states).tolist()


def test_splitmix_is_the_published_one() -> None:
    """The first numbers of the reference implementation from the seed 1234567."""
    state = np.array([1234567], np.uint64)
    assert [int(next_u64(state)) for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_below_reaches_both_ends_and_no_more() -> None:
    state = stream("test", 2)
    assert {int(below(state, 3)) for _ in range(100)} == {0, 1, 2}
    assert all(0 <= below(state, 2**31) < 2**31 for _ in range(100))
