"""Files as wholes: a name is only given to what is on the disk in full, and a digest stands for all of it."""

import hashlib
import os
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


def file_digest(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
