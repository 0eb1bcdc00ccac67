"""The few pictures that a page shows, kept while many go by."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from smearsynth.images import Pixels

T = TypeVar("T")


class EvenlyKept(Generic[T]):
    """Of any number of things that go by, at least `wanted` (or all) spread evenly, and never more than twice that."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._kept: list[T] = []
        self._seen = 0
        self._stride = 1

    def offer(self, thing: T) -> None:
        if self._seen % self._stride == 0:
            self._kept.append(thing)
            if len(self._kept) == 2 * self._wanted:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._seen += 1

    def chosen(self) -> list[T]:
        """At most `wanted`."""
        count = len(self._kept)
        return [self._kept[i] for i in np.linspace(0, count - 1, min(count, self._wanted)).astype(int)]


def same_size(*sets: Sequence[Pixels]) -> list[list[Pixels]]:
    """The middle of each picture, as large as the smallest height and width among all."""
    shapes = [picture.shape for pictures in sets for picture in pictures]
    h, w = (min(sides) for sides in list(zip(*shapes, strict=True))[:2])
    return [[_middle(picture, h, w) for picture in pictures] for pictures in sets]


def _middle(picture: Pixels, h: int, w: int) -> Pixels:
    y, x = (picture.shape[0] - h) // 2, (picture.shape[1] - w) // 2
    return picture[y : y + h, x : x + w]
