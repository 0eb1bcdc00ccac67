"""The folder of the dataset: it is filled beside its place and put there when it is whole, or not at all."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smearsynth.errors import UserError

INDEX = "index.json"
IMPORTED = "imported"
"""Key of the index that only imported sets have."""


def check_target(out: Path, *, overwrite: bool) -> None:
    """UserError where `out` may not become the dataset; touches nothing."""
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise UserError(f"{nearest} is a file: give another folder by --out.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{nearest} may not be written to: change its permissions, or give another folder by --out.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not overwrite:
        raise UserError(f"{out} is not empty: give --overwrite, or another folder by --out.")
    if strange := sorted(path.name for path in out.iterdir() if path.name not in _own_files(out)):
        raise UserError(f"{out} holds {strange[0]}, which no import wrote, so it is left alone: give another --out.")


def _own_files(out: Path) -> set[str]:
    """The names of what an import wrote."""
    try:
        index = json.loads((out / INDEX).read_text(encoding="utf-8"))
        return {INDEX, *(file["name"] for file in index["files"])} if IMPORTED in index else set()
    except (OSError, ValueError, LookupError, TypeError):
        return set()


@contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder beside `out` to be filled; at the end it takes its place. Where the work fails nothing of it stays, and
    what a killed import left goes when the next one to the same place begins."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.part")
    part.mkdir(exist_ok=True)
    descriptor = os.open(part, os.O_RDONLY)
    try:
        _lock(descriptor, out)
        for left in part.iterdir():
            left.unlink()
        try:
            yield part
            os.fsync(descriptor)
            check_target(out, overwrite=overwrite)
            _replace(part, out)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, out: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"Another import is writing to {out}: wait for it, or stop it.") from None


def _replace(part: Path, out: Path) -> None:
    if not out.is_dir():
        part.rename(out)
        return
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    out.rename(old)
    part.rename(out)
    shutil.rmtree(old)
