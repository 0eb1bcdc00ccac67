"""What a training says while it runs: lines in its log and on the terminal, a bar with loss, speed and time left."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from segtrain.run import Run


class Speed:
    """How fast an epoch is trained; shown in its bar."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self._bar, self._began = bar, time.perf_counter()
        self._images, self._seconds = 0, 0.0

    def read(self, loss: float, *, steps: int, images: int) -> None:
        """steps: done in the epoch. images: trained on in this process's time, by all processes."""
        self._images, self._seconds = images, time.perf_counter() - self._began
        self._bar.set_postfix_str(f"loss {loss:.4g}, {images / self._seconds:,.1f} images/s", refresh=False)
        self._bar.update(steps - self._bar.n)

    def figures(self, *, waited: float) -> dict[str, float]:
        """Of what was trained here. waited: seconds that the training waited for data."""
        rate = self._images / self._seconds if self._seconds else 0.0
        share = waited / self._seconds if self._seconds else 0.0
        return {
            "images": self._images,
            "training_seconds": self._seconds,
            "images_per_second": rate,
            "waiting_share": share,
        }


class Progress:
    """Speaks for the first process of a training; the others are silent."""

    def __init__(self, run: Run, *, speaks: bool) -> None:
        self._run, self._speaks = run, speaks

    def say(self, line: str) -> None:
        """A line for the log and, above the bar, for whoever looks on."""
        if self._speaks:
            self._run.log(line)
            tqdm.write(line, file=sys.stderr)

    @contextmanager
    def epoch(self, epoch: int, epochs: int, *, step: int, steps: int) -> Iterator[Speed]:
        """A bar for one epoch, counted from 1, of which `step` steps are done; gone at its end."""
        quiet = None if self._speaks else True
        name = f"epoch {epoch}/{epochs}"
        with tqdm(
            total=steps, initial=step, desc=name, unit="step", leave=False, disable=quiet, file=sys.stderr
        ) as bar:
            yield Speed(bar)
