"""The files of a set: all there, none besides, each of the size and sha256 in the index."""

import os
from collections.abc import Iterator
from pathlib import Path

from smearsynth.dataset import layout
from smearsynth.dataset.state import marker_name
from smearsynth.dataset.verify.fault import Fault
from smearsynth.dataset.verify.stated import File, Stated
from smearsynth.files import file_digest


def listing_faults(out: Path, stated: Stated) -> Iterator[Fault]:
    """Files that are missing, or there and not in the index. A set may be handed on without its bank."""
    for file in stated.files:
        if not os.path.lexists(out / file.name):
            if file.name != layout.BANK:
                yield Fault(file.name, "is missing")
        elif not layout.is_own_file(out, file.name):
            yield Fault(file.name, "is a link" if (out / file.name).is_symlink() else "is no file")
    known = {layout.INDEX, layout.STATE, *(file.name for file in stated.files)}
    markers = {marker_name(file.name) for file in stated.shards}
    kept = {layout.IDENTITY, layout.SOURCES, f"{layout.STATE}/lock", *markers}
    for path in sorted(out.iterdir()):
        if path.name not in known:
            yield Fault(path.name, f"is not in {layout.INDEX}")
    state = out / layout.STATE
    if state.is_symlink():
        yield Fault(layout.STATE, "is a link")
    for path in sorted(state.iterdir()) if state.is_dir() and not state.is_symlink() else ():
        if str(path.relative_to(out)) not in kept:
            yield Fault(str(path.relative_to(out)), "is left over, or of no build")


def content_faults(out: Path, file: File) -> Iterator[str]:
    """Where size or sha256 of a file that is there is not the one in the index."""
    path = out / file.name
    try:
        size = path.stat().st_size
        if size != file.size:
            yield f"has {size} bytes, and {file.size} in {layout.INDEX}"
        elif file_digest(path) != file.sha256:
            yield f"its sha256 is not the one in {layout.INDEX}: a byte of either was changed"
    except OSError as error:
        yield f"cannot be read ({error.strerror})"
