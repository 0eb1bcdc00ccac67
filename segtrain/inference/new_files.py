"""Files that are whole or not there at all, and never written over another by accident."""

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
    """UserError where two of them are one, or some are there already."""
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise UserError(f"{twice}: two images would be written there; rename one, or give each an --out of its own.")
    there = [path for path in paths if path.exists()]
    if there and not overwrite:
        raise UserError(
            f"{there[0]} is there already ({len(there)} of {len(paths)} files): --overwrite replaces them, "
            "or name another --out."
        )
