"""Slices: which shards of a set one machine builds. Shards are numbered through all splits, in dataset order."""

import re
from collections.abc import Iterable

from smearsynth.errors import UserError

_MOST = 8
"""Slices that are proposed, at most."""


def read_slice(text: str, shards: int) -> range:
    """The numbers in "A:B", A to B - 1; a B past the last shard is the last. UserError where that is none."""
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(f"--shards is {text!r}: give A:B with A < B, such as 0:8 for the first eight shards.")
    if int(match[1]) >= shards:
        raise UserError(f"--shards is {text}, and the set has {shards} shards, numbered from 0: lower A.")
    return range(int(match[1]), min(int(match[2]), shards))


def propose_slices(shards: int, workers: int) -> tuple[str, ...]:
    """Equal slices that together are the set, each of some shards for every worker of a machine."""
    each = -(-shards // _MOST)
    each = -(-each // workers) * workers
    return tuple(f"{first}:{min(first + each, shards)}" for first in range(0, shards, each))


def name_slices(numbers: Iterable[int]) -> tuple[str, ...]:
    """The fewest slices that hold just these numbers, which ascend."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, number + 1])
    return tuple(f"{first}:{stop}" for first, stop in runs)
