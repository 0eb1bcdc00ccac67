"""Progress on stderr: a bar at a terminal and, without one, a line a minute, so that a log tells how far the work is.

The first line comes after five seconds: what is done by then makes no noise. Lines are written by whoever does the
work, as it moves on, and by no thread, for that would not survive the fork of worker processes. Stdout is left to
results.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

_FIRST, _BETWEEN = 5.0, 60.0
"""Seconds to the first line, and from one to the next."""

tqdm.monitor_interval = 0  # its monitor is a thread


def with_progress(
    items: Iterable[Item], *, what: str, unit: str, shown: bool, total: int | None = None
) -> Iterator[Item]:
    """The items, which a `ProgressBar` counts. total: of items that have no length.

    >>> sum(with_progress([1, 2, 3], what="sum", unit="numbers", shown=False))
    6
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    with ProgressBar(what=what, unit=unit, total=total, shown=shown) as bar:
        for item in items:
            yield item
            bar.update()


class ProgressBar(tqdm):
    """`update(n)` says that n more of `total` are done, and update(0) that the work goes on.

    what: what is done, in a word or two. unit: what is counted, in the plural. shown: False for silence. done: what was
    done before, and is not part of the speed.
    """

    def __init__(self, *, what: str, unit: str, total: int | None, shown: bool, done: int = 0) -> None:
        self._lines, self._said = not sys.stderr.isatty(), time.monotonic()
        super().__init__(
            desc=what,
            total=total,
            initial=done,
            unit=f" {unit}",
            leave=False,
            file=sys.stderr,
            disable=not shown,
            miniters=0,
            mininterval=_FIRST if self._lines else 0.1,
            delay=_FIRST if self._lines else 0,
        )

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        """The bar as it stands now; without a terminal a line, and nothing where a bar would be wiped away."""
        if not self._lines:
            return super().display(msg, pos)
        # What `say` writes refreshes a bar, too, and half a second may pass between its clock and this one.
        if msg is None and time.monotonic() - self._said >= self.mininterval - 0.5:
            self._said, self.mininterval = time.monotonic(), _BETWEEN
            print(self.line(), file=self.fp, flush=True)
        return False

    def clear(self, nolock: bool = False) -> None:
        """Wipes the bar away; a line stays."""
        if not self._lines:
            super().clear(nolock)

    def line(self) -> str:
        """What is done, how fast and, at that speed, how long the rest takes: "small: 210 of 500 smears, 17.1 smears/s,
        00:17 left"."""
        now = self.format_dict
        rate = now["rate"] or (self.n - self.initial) / max(now["elapsed"], 1e-9)
        parts = [f"{self.desc}: {self.n:,}{f' of {self.total:,}' if self.total else ''}{self.unit}"]
        if rate:
            parts.append(f"{rate:,.1f}{self.unit}/s" if rate >= 1 else f"{60 * rate:,.1f}{self.unit}/min")
            if self.total:
                parts.append(f"{self.format_interval(max(self.total - self.n, 0) / rate)} left")
        if self.postfix:
            parts.append(str(self.postfix))
        return ", ".join(parts)


def say(line: str) -> None:
    """A line on stderr, above a bar that is shown there."""
    tqdm.write(line, file=sys.stderr)
