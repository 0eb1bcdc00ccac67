"""Files as wholes: a name is only given to what is on the disk in full, and a digest stands for all of it."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def published(path: Path, part: Path | None = None) -> Iterator[Path]:
    """A place to write the file `path`, which gets that name once the block has ended and its bytes are on the disk.

    Whoever reads `path`, also after the process was killed or the machine lost its power, finds the old file or the
    whole new one. part: the place, on the same file system; by default one beside `path` that no other process takes.
    Where the block raises, nothing is left there.
    """
    part = part or path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str, part: Path | None = None) -> None:
    """A text file in UTF-8, its line ends as they are, as `published`."""
    with published(path, part) as place:
        place.write_text(text, encoding="utf-8", newline="")


def _sync(path: Path) -> None:
    """Brings a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
