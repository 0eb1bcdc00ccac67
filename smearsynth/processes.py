"""How worker processes start and end: forked where that is safe, with OpenCV's threads out of the way.

A fork needs nothing of the caller's script, so a script without a main guard works, and it shares memory. But a
process that is forked while OpenCV keeps a pool of threads waits for those threads for ever, so the pool is ended
before; and processes share the cores already, so none of them needs it.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkContext, SpawnContext

import cv2


def start_context() -> ForkContext | SpawnContext:
    return multiprocessing.get_context("fork") if sys.platform == "linux" else multiprocessing.get_context("spawn")


def start_worker() -> None:
    """The first that a worker does. Ctrl-C is its parent's to hear, which then says what is to be given up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed ends at once and leaves the folder to whoever resumes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def opencv_in_one_thread() -> Iterator[None]:
    """For the time that processes are started and work, here too."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
