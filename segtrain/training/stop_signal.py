"""SIGTERM and Ctrl-C as a wish that the training reads between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from smearsynth.base.errors import WorkError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(WorkError):
    """A training ended because it was asked to, and not because of a fault."""


class StopWish:
    """by: name of the signal that asked to stop, "" as long as none has."""

    def __init__(self) -> None:
        self.by = ""

    def note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (a handler's signature)
        """Notes the signal; the next one of its kind ends the process at once."""
        self.by = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def listening() -> Iterator[StopWish]:
    """Both signals lead to the wish for the time of the block; outside the main thread none can, and none does."""
    wish = StopWish()
    try:
        before = {number: signal.signal(number, wish.note) for number in SIGNALS}
    except ValueError:
        yield wish
        return
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
