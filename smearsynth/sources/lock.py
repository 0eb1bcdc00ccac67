"""The lock of a set's sources: the path and sha256 of every file that its cells were cut from.

A recipe that names a lock reads those files and no others, and stops where one of them is missing or has changed: a
database that has grown since, or another copy of it, still gives the cells that the lock was written for. A line is
what `sha256sum --check` reads.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from smearsynth.errors import UserError
from smearsynth.files import file_digest
from smearsynth.recipe.source import SourceSpec
from smearsynth.sources.entry import Entry, Listing
from smearsynth.sources.files import locate

LEFT_OUT = "not in the lock"
_MOST = 200_000_000
_LINE = re.compile(r"([0-9a-f]{64})  ([^/]+)/(.+)")

Lock = Mapping[str, Mapping[str, str]]
"""Source name -> path relative to its root -> sha256, hex."""


def read_lock(file: Path) -> Lock:
    """The lock in a file of lines "sha256  source/path". Raises UserError."""
    try:
        if file.exists() and not file.is_file():
            raise OSError(None, "it is no file")
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_MOST)
        if len(text) == _MOST:
            raise OSError(None, f"it has {_MOST:,} characters or more")
        lines = text.splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise UserError(f"{file}: cannot be read as a lock ({reason}); name the sources.lock of a dataset") from None
    lock: dict[str, dict[str, str]] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UserError(f'{file}:{number}: is no line "sha256  source/path"; take the sources.lock of a dataset')
        if lock.setdefault(match[2], {}).setdefault(match[3], match[1]) != match[1]:
            raise UserError(f"{file}:{number}: {match[2]}/{match[3]} has another sha256 above; keep one of the lines")
    return lock


def lines_of(name: str, files: Mapping[str, str]) -> str:
    """The lines of one source, sorted by path, as they stand in a lock. files: path -> sha256."""
    return "".join(f"{files[path]}  {name}/{path}\n" for path in sorted(files))


def apply_lock(listing: Listing, spec: SourceSpec, lock: Lock) -> Listing:
    """The listing with the files that the lock names for this source and no others.

    Raises UserError, every file named, where one of those is not there any more, has changed, or would not be used,
    and where a table or mask that the lock does not hold would decide what they are.
    """
    files = lock.get(spec.name)
    if files is None:
        raise UserError(f"{spec.root}: the lock names no file of source {spec.name}; remove the source or the lock")
    kept = tuple(entry for entry in listing.entries if entry.path in files)
    faults = _changed(spec, files) or [*_unused(spec, files, kept, listing), *_unlocked(spec, files, kept, listing)]
    if faults:
        raise UserError("\n".join(faults))
    out = len({entry.path for entry in listing.entries} - {entry.path for entry in kept})
    return replace(listing, entries=kept, left_out={**listing.left_out, **({LEFT_OUT: out} if out else {})})


def _changed(spec: SourceSpec, files: Mapping[str, str]) -> list[str]:
    """A fault per file that is not there or has another content; one for all where none is there."""
    found = {path: _digest(spec.root, path) for path in files}
    if not any(found.values()):
        first = next(iter(files))
        return [
            f"{spec.root}: none of the {len(files):,} files is there that the lock names, such as {first}; set `root` "
            f"of source {spec.name} to the folder that holds them"
        ]
    return [_fault(spec, path, files[path], found[path]) for path in files if found[path] != files[path]]


def _fault(spec: SourceSpec, path: str, digest: str, found: str | None) -> str:
    what = f"has changed: its sha256 is {found[:12]}..., and" if found else "is not there, and"
    return f"{spec.root / path}: {what} the lock names it with sha256 {digest[:12]}...; restore that file"


def _unused(spec: SourceSpec, files: Mapping[str, str], kept: Sequence[Entry], listing: Listing) -> list[str]:
    """Files that gave cells when the lock was written and would not now: a copy of theirs took their place, say."""
    used = {path for entry in kept for path in (entry.path, entry.mask)} | set(listing.tables)
    return [
        f"{spec.root / path}: the lock names it, and the source leaves it out: remove what takes its place, or its "
        "line from the lock"
        for path in files
        if path not in used
    ]


def _unlocked(spec: SourceSpec, files: Mapping[str, str], kept: Sequence[Entry], listing: Listing) -> list[str]:
    masks = {entry.mask: "mask" for entry in kept if entry.mask is not None}
    return [
        f"{spec.root / path}: the lock does not hold this {what}; exclude it"
        for path, what in {**masks, **dict.fromkeys(listing.tables, "table")}.items()
        if path not in files
    ]


def _digest(root: Path, path: str) -> str | None:
    """sha256, hex, of a file; None where it is not there."""
    file = locate(root, path)
    return file_digest(file) if file.is_file() else None
