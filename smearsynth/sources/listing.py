"""The lock of a set's sources: the path and sha256 of every file that its cells were cut from.

A recipe that names a lock reads those files and no others, and stops where one of them is missing or has changed: a
database that has grown since, or another copy of it, still gives the cells that the lock was written for. A line is
what `sha256sum --check` reads.

Drawn sources: a folder that holds phantoms in a database's layout says so, so that no card takes them for it.

Phantoms are public domain and may be handed on where the database may not, so a note alone is no proof: it holds a
fingerprint of what was drawn. Where anything else lies there, a copied note beside real cells say, the source is taken
for the database, whose licence is never the wider one.

Source databases as their owners ship them: one module per database, each a list of where its cells are.

All sources of a recipe listed, with their lock applied and every fault of theirs collected.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from smearsynth.base.documents import DocumentError, Fault
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources import crops, iumc, kaggle, lisc, mamic
from smearsynth.sources.entry import Entry, Facts, Listing, Redistribution
from smearsynth.sources.source_files import DRAWN_NOTE, NOT_IMAGE, Files, list_files, locate, natural

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


UNPROVEN = f"{DRAWN_NOTE}, and other files than it was written for"
_SAYS = "Drawn by `smearsynth phantoms`, seed {seed}: no pixel was photographed. Public domain (CC0 1.0).\n"
_PROOF = "Images and tables: sha256 {digest}\n"


def write_note(root: Path, seed: int) -> None:
    """Says that all which lies in `root` was drawn from that seed."""
    text = _SAYS.format(seed=seed) + _PROOF.format(digest=_fingerprint(root))
    (root / DRAWN_NOTE).write_text(text, encoding="utf-8", newline="\n")


def has_note(root: Path) -> bool:
    # os.path says no where Path raises: a root that may not be read is told of when its files are listed.
    return os.path.isfile(root / DRAWN_NOTE)  # noqa: PTH113


def is_drawn(root: Path) -> bool:
    """Whether a note says so of just the images and tables that lie there."""
    if not has_note(root):
        return False
    try:
        return (root / DRAWN_NOTE).read_bytes().endswith(_PROOF.format(digest=_fingerprint(root)).encode())
    except (OSError, UserError):
        return False


def facts_of(facts: Facts, root: Path) -> Facts:
    """The facts of a source, with licence and origin of phantoms where its root holds them."""
    if not is_drawn(root):
        return facts
    return replace(
        facts,
        title=f"drawn phantoms in the layout of: {facts.title}",
        licence="CC0-1.0",
        redistribution=Redistribution.ALLOWED,
        cite="smearsynth phantoms",
    )


def _fingerprint(root: Path) -> str:
    """sha256, hex, over lines "sha256  ./path" of all images and tables, sorted by path. Raises OSError, UserError."""
    files = list_files(root)
    digests = {path: file_digest(root / path) for path in (*files.images, *files.tables)}
    return hashlib.sha256(lines_of(".", digests).encode()).hexdigest()


class Source(NamedTuple):
    """list: reads the names of a database's files. layout: what it looks for, for messages. facts: what is known of
    the database without its files.
    """

    list: Callable[[SourceSpec, Files], Listing]
    layout: str
    facts: Callable[[SourceSpec], Facts]


SOURCES = {
    "lisc": Source(lisc.list_lisc, lisc.LAYOUT, lambda _: lisc.FACTS),
    "iumc": Source(iumc.list_iumc, iumc.LAYOUT, lambda _: iumc.FACTS),
    "mamic": Source(mamic.list_mamic, mamic.LAYOUT, lambda _: mamic.FACTS),
    "kaggle": Source(kaggle.list_kaggle, kaggle.LAYOUT, lambda _: kaggle.FACTS),
    "crops": Source(crops.list_crops, crops.LAYOUT, crops.facts_of_recipe),
}


def stated_facts(spec: SourceSpec) -> Facts:
    """What is known of a source from the recipe and the kind of database alone; no file is listed or read."""
    return facts_of(SOURCES[spec.kind].facts(spec), spec.root)


def list_entries(spec: SourceSpec) -> Listing:
    """Everything a source holds, in natural order of the paths; no pixel is decoded.

    Files that are of no use are counted in `left_out`. Raises UserError where no cell is found at all, or where what
    the user wrote (`classes`, `exclude`, a table) does not fit the files.
    """
    source = SOURCES[spec.kind]
    files = list_files(spec.root, spec.exclude)
    listing = source.list(spec, files)
    unread = len(set(files.tables) - set(listing.tables))
    facts = facts_of(listing.facts, spec.root)
    unproven = has_note(spec.root) and facts == listing.facts
    left_out = Counter({NOT_IMAGE: unread, UNPROVEN: unproven}) + files.left_out + Counter(listing.left_out)
    if not listing.entries:
        there = "; ".join(f"{count} x {reason}" for reason, count in sorted(left_out.items())) or "the folder is empty"
        raise UserError(
            f"{spec.root}: no cell image of a {spec.kind} source is there ({there}); expected {source.layout}; "
            f"set `root` of source {spec.name} to the folder that holds them"
        )
    return Listing(
        facts=facts,
        entries=tuple(sorted(listing.entries, key=lambda entry: natural(entry.path))),
        left_out=dict(sorted(left_out.items())),
        tables=listing.tables,
    )


def list_sources(recipe: Recipe) -> dict[str, Listing]:
    """The listing of each source by name, in the recipe's order. Raises DocumentError with the faults of all."""
    listings, faults = try_sources(recipe)
    if faults:
        raise DocumentError(faults)
    return listings


def try_sources(recipe: Recipe) -> tuple[dict[str, Listing], list[Fault]]:
    """The listings that can be had, and what is wrong with the lock and with the other sources."""
    lock, faults = _lock(recipe)
    listings: dict[str, Listing] = {}
    for number, spec in enumerate(recipe.sources):
        try:
            listing = list_entries(spec)
            listings[spec.name] = listing if lock is None else apply_lock(listing, spec, lock)
        except UserError as error:
            faults += [recipe.fault(("sources", number), line) for line in str(error).splitlines()]
    return listings, faults


def _lock(recipe: Recipe) -> tuple[Lock | None, list[Fault]]:
    try:
        return (read_lock(recipe.lock_file) if recipe.lock_file else None), []
    except UserError as error:
        return None, [recipe.fault(("lock",), str(error))]
