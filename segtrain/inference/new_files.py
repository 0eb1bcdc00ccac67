"""Files that are whole or not there at all, and never written over another by accident."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from smearsynth.errors import UserError
from smearsynth.files import publish


@contextmanager
def new_files(paths: list[Path]) -> Iterator[list[BinaryIO]]:
    """Files to write, which get their names if the block ends well, and are gone if it does not."""
    parts = [path.with_name(f".{path.name}.part") for path in paths]
    try:
        with ExitStack() as stack:
            yield [stack.enter_context(part.open("wb")) for part in parts]
        for part, path in zip(parts, paths, strict=True):
            publish(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def check_new(paths: list[Path], *, overwrite: bool) -> None:
    """UserError where two of them are one, some are there already, or one can't be written where it shall lie."""
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise UserError(f"{twice}: two images would be written there; rename one, or give each an --out of its own.")
    for folder in {path.parent for path in paths}:
        check_folder(folder)
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise UserError(
            f"{there[0]} is there already ({len(there)} of {len(paths)} files): --overwrite replaces them, "
            "or name another --out."
        )


def check_folder(folder: Path) -> None:
    """UserError where no file can be written into a folder, which may not be there yet."""
    whole = folder.absolute()
    there = next(path for path in (whole, *whole.parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file, and a folder is needed there: name another.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{there} may not be written to: name another folder.")
