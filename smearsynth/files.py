"""Files as wholes: a name is only given to what is on the disk in full, and a digest stands for all of it."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def publish(temporary: Path, path: Path) -> None:
    """Gives a finished file its name: its bytes are on the disk before the name is."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def written_to_its_end(path: Path) -> Iterator[None]:
    """Around the writing of an HDF5 file: what h5py raises where the disk takes no more becomes the OSError it is."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(errno.EIO, "cannot be written to its end; is the disk full?", str(path)) from error


def file_digest(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
