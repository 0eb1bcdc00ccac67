"""How worker processes are started: forked where that is safe, with OpenCV's threads out of the way.

A fork needs nothing of the caller's script, so a script without a main guard works, and it shares memory. But a
process that is forked while OpenCV keeps a pool of threads waits for those threads for ever, so the pool is ended
before; and processes share the cores already, so none of them needs it.
"""

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext

import cv2


def start_context() -> BaseContext:
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


@contextmanager
def opencv_in_one_thread() -> Iterator[None]:
    """For the time that processes are started and work, here too."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
