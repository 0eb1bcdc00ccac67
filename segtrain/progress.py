"""What a training says while it runs: lines in its log and on the terminal, a bar with loss, speed and time left."""

import sys
import time
from typing import Any

from tqdm import tqdm

from segtrain.run import Run


class Progress:
    """Speaks for the first process of a training; the others are silent."""

    def __init__(self, run: Run, *, speaks: bool) -> None:
        self._run, self._speaks = run, speaks
        self._bar: tqdm[Any] | None = None
        self._began, self._images, self._seconds = 0.0, 0, 0.0

    def say(self, line: str) -> None:
        """A line for the log and, above the bar, for whoever looks on."""
        if self._speaks:
            self._run.log(line)
            tqdm.write(line, file=sys.stderr)

    def begin_epoch(self, name: str, *, step: int, steps: int) -> None:
        """An epoch begins, `step` steps into a training of `steps`; the bar is over all of it."""
        if self._bar is None:
            quiet = None if self._speaks else True
            self._bar = tqdm(total=steps, initial=step, unit="step", leave=False, disable=quiet, file=sys.stderr)
        self._bar.set_description_str(name, refresh=False)
        self._began, self._images, self._seconds = time.perf_counter(), 0, 0.0

    def trained(self, steps: int, images: int, loss: float) -> None:
        """So many steps and images more, over all processes; `loss`: of the last of them."""
        self._images, self._seconds = self._images + images, time.perf_counter() - self._began
        assert self._bar is not None, "an epoch has begun"
        self._bar.set_postfix_str(f"loss {loss:.4g}, {self._images / self._seconds:,.1f} images/s", refresh=False)
        self._bar.update(steps)

    def speed(self, waited: float) -> dict[str, float]:
        """Of what was trained in this epoch, here. waited: seconds that it waited for data."""
        seconds = self._seconds or 1.0
        return {
            "images": self._images,
            "training_seconds": self._seconds,
            "images_per_second": self._images / seconds,
            "waiting_share": waited / seconds,
        }

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
