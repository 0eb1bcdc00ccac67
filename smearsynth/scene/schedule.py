"""Which combination a sample is of: all are met equally often, and a short build meets a mixture of them."""

from math import gcd

from smearsynth.recipe.combinations import Combination
from smearsynth.recipe.scene import UNIT_FIELD


def stride(n: int) -> int:
    """The step coprime with n next above the golden section of n, so that n steps meet each of n once."""
    step = max(1, round(n * 0.618))
    while gcd(step, n) != 1:
        step += 1
    return step


def combination(chosen: tuple[Combination, ...], index: int) -> Combination:
    """The combination of sample `index`."""
    return chosen[index * stride(len(chosen)) % len(chosen)]


def foreground(combination: Combination, size: tuple[int, int]) -> tuple[int, ...]:
    """Class ids of the foreground of a field of `size` (height, width) px: repeated per 224x224 px, at least once."""
    return combination.foreground * max(1, round(size[0] * size[1] / UNIT_FIELD))
