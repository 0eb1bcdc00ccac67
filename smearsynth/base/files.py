"""Files as wholes: a name is only given to what is on the disk in full, and a digest stands for all of it."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
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


def walk_files(root: Path, on_error: Callable[[OSError], object] | None = None) -> tuple[list[Path], int]:
    """All files below a folder, in no order, also in the folders that links lead to; and the number of links that were
    not followed, for their folder is read anyway, or holds `root`. Each folder is read once, by a path without links
    where it has one. on_error: is called where a folder cannot be read."""
    files: list[Path] = []
    above, seen = set(root.resolve().parents), set[Path]()
    waiting, not_followed = deque([root]), 0
    while waiting:
        start = waiting.popleft()
        if start.resolve() in seen | above:
            not_followed += 1
            continue
        for folder, inside, names in os.walk(start, onerror=on_error):
            here = Path(folder)
            if (real := here.resolve()) in seen:
                inside.clear()
                continue
            seen.add(real)
            inside.sort()
            waiting += [here / name for name in inside if (here / name).is_symlink()]
            files += [here / name for name in names]
    return files, not_followed


def file_digest(path: Path) -> str:
    """sha256 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
