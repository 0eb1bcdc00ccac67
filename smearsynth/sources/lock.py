"""The lock of a set's sources: the path and sha256 of every file that its cells were cut from.

A recipe that names a lock reads those files and no others, and stops where one of them has changed: a database that
has grown since, or another copy of it, still gives the cells that the lock was written for.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from smearsynth.errors import UserError
from smearsynth.recipe.source import SourceSpec
from smearsynth.sources.entry import Entry, Listing
from smearsynth.sources.files import locate
from smearsynth.sources.tables import refuse

LEFT_OUT = "not in the lock"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/]+)/(.+)")

Lock = Mapping[str, Mapping[str, str]]
"""Source name -> path relative to its root -> sha256, hex."""


def read_lock(file: Path) -> Lock:
    """The lock in a file of lines "sha256  source/path". Raises UserError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise UserError(f"{file}: cannot be read as a lock ({reason}); name the sources.lock of a dataset") from None
    lock: dict[str, dict[str, str]] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UserError(f'{file}:{number}: is no line "sha256  source/path"; take the sources.lock of a dataset')
        lock.setdefault(match[2], {})[match[3]] = match[1]
    return lock


def apply_lock(listing: Listing, spec: SourceSpec, lock: Lock) -> Listing:
    """The listing with the files that the lock names for this source and no others.

    Raises UserError where one of those is not there any more, or has changed, or where a table decides classes that
    the lock does not hold.
    """
    files = lock.get(spec.name, {})
    refuse(
        [] if files else [f"{spec.root}: the lock names no file of source {spec.name}; remove the source or the lock"]
    )
    refuse([_fault(spec, path, digest) for path, digest in files.items() if _digest(spec.root, path) != digest])
    refuse(
        [
            f"{spec.root / path}: the lock does not hold this table; exclude it"
            for path in listing.tables
            if path not in files
        ]
    )
    kept = tuple(entry for entry in listing.entries if _paths(entry) <= files.keys())
    out = len({entry.path for entry in listing.entries} - {entry.path for entry in kept})
    return replace(listing, entries=kept, left_out={**listing.left_out, **({LEFT_OUT: out} if out else {})})


def _paths(entry: Entry) -> set[str]:
    return {entry.path} if entry.mask is None else {entry.path, entry.mask}


def _digest(root: Path, path: str) -> str | None:
    """sha256, hex, of a file; None where it is not there."""
    file = locate(root, path)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _fault(spec: SourceSpec, path: str, digest: str) -> str:
    what = "has changed since" if (spec.root / path).is_file() else "is not there"
    return f"{spec.root / path}: {what}, and the lock names it with sha256 {digest[:12]}...; restore that file"
