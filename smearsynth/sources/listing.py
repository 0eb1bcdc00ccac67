"""Every source of a recipe listed: where its cells are, whether it is drawn, and only what the lock names.

Lock: the path and sha256 of every file that the cells of a set were cut from; a line is what `sha256sum --check` reads.
A recipe that names a lock reads those files and no others, and stops where one of them is missing or has changed: a
database that has grown since, or another copy of it, still gives the cells that the lock was written for.

Drawn sources: phantoms are public domain and may be handed on where the database may not, so a folder of them says what
it is, lest a card take them for the database. A note alone is no proof: it holds a fingerprint of what was drawn. Where
anything else is there, a copied note beside real cells, say, the source is taken for the database, whose licence is
never the wider one.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from smearsynth.base.config_file import ConfigError, ErrorLine
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest
from smearsynth.base.tables import locate
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources import crops, fields, iumc, kaggle, lisc, mamic
from smearsynth.sources.entry import Facts, Listing, Redistribution
from smearsynth.sources.source_files import DRAWN_NOTE, NOT_IMAGE, SourceFiles, list_files, natural

Lock = Mapping[str, Mapping[str, str]]
"""Source name -> path relative to its root -> sha256, hex."""

NOT_LOCKED = "not in the lock"
UNPROVEN = f"{DRAWN_NOTE}, and other files than it was written for"
_LOCK_LINE = re.compile(r"([0-9a-f]{64})  ([^/]+)/(.+)")
_MOST_CHARACTERS = 200_000_000
"""Of a lock."""
_NOTE = "Drawn by `smearsynth phantoms`, seed {seed}: no pixel was photographed. Public domain (CC0 1.0).\n"
_PROOF = "Images and tables: sha256 {digest}\n"


class _Database(NamedTuple):
    """list: reads the names of a database's files. layout: what it looks for, for messages. facts: what is known of
    the database without its files."""

    list: Callable[[SourceSpec, SourceFiles], Listing]
    layout: str
    facts: Callable[[SourceSpec], Facts]


DATABASES = {
    "lisc": _Database(lisc.list_lisc, lisc.LAYOUT, lambda _: lisc.FACTS),
    "iumc": _Database(iumc.list_iumc, iumc.LAYOUT, lambda _: iumc.FACTS),
    "mamic": _Database(mamic.list_mamic, mamic.LAYOUT, lambda _: mamic.FACTS),
    "kaggle": _Database(kaggle.list_kaggle, kaggle.LAYOUT, lambda _: kaggle.FACTS),
    "crops": _Database(crops.list_crops, crops.LAYOUT, crops.facts_of_recipe),
    "fields": _Database(fields.list_fields, fields.LAYOUT, crops.facts_of_recipe),
}
"""By the recipe's `kind`."""


def list_sources(recipe: Recipe) -> dict[str, Listing]:
    """The listing of each source by name, in the recipe's order. Raises ConfigError with the errors of all."""
    listings, errors = try_sources(recipe)
    if errors:
        raise ConfigError(errors)
    return listings


def try_sources(recipe: Recipe) -> tuple[dict[str, Listing], list[ErrorLine]]:
    """The listings that can be had, and what is wrong with the lock and with the other sources."""
    listings: dict[str, Listing] = {}
    lock, errors = None, []
    try:
        lock = read_lock(recipe.lock_file) if recipe.lock_file else None
    except UserError as error:
        errors.append(recipe.error_at(("lock",), str(error)))
    for number, spec in enumerate(recipe.sources):
        try:
            listing = list_entries(spec)
            listings[spec.name] = listing if lock is None else apply_lock(listing, spec, lock)
        except UserError as error:
            errors += [recipe.error_at(("sources", number), line) for line in str(error).splitlines()]
    return listings, errors


def list_entries(spec: SourceSpec) -> Listing:
    """Everything a source holds, in natural order of the paths; no pixel is decoded.

    Files that are of no use are counted in `left_out`. Raises UserError where no cell is found at all, or where what
    the user wrote (`classes`, `exclude`, a table) does not fit the files.
    """
    database = DATABASES[spec.kind]
    files = list_files(spec.root, spec.exclude)
    listing = database.list(spec, files)
    facts = _facts_of_drawn(listing.facts) if (drawn := is_drawn(spec.root)) else listing.facts
    left_out = files.left_out + Counter(listing.left_out)
    left_out[NOT_IMAGE] += len(set(files.tables) - set(listing.tables))
    left_out[UNPROVEN] += has_note(spec.root) and not drawn
    left_out = +left_out
    if not listing.entries:
        there = "; ".join(f"{count} x {reason}" for reason, count in sorted(left_out.items())) or "the folder is empty"
        raise UserError(
            f"{spec.root}: no cell image of a {spec.kind} source is there ({there}); expected {database.layout}; "
            f"set `root` of source {spec.name} to the folder that holds them"
        )
    return Listing(
        facts=facts,
        entries=tuple(sorted(listing.entries, key=lambda entry: natural(entry.path))),
        left_out=dict(sorted(left_out.items())),
        tables=listing.tables,
    )


def stated_facts(spec: SourceSpec) -> Facts:
    """What is known of a source from the recipe and the kind of database. No file is listed or read, but where a note
    says that a source is drawn: then its files are held against the note."""
    facts = DATABASES[spec.kind].facts(spec)
    return _facts_of_drawn(facts) if is_drawn(spec.root) else facts


def _facts_of_drawn(facts: Facts) -> Facts:
    """Licence and origin of phantoms in place of those of the database whose layout they have."""
    return replace(
        facts,
        title=f"drawn phantoms in the layout of: {facts.title}",
        licence="CC0-1.0",
        redistribution=Redistribution.ALLOWED,
        cite="smearsynth phantoms",
    )


def write_note(root: Path, seed: int) -> None:
    """Says that all images and tables in `root` were drawn from that seed."""
    text = _NOTE.format(seed=seed) + _PROOF.format(digest=_fingerprint(root))
    (root / DRAWN_NOTE).write_text(text, encoding="utf-8", newline="\n")


def has_note(root: Path) -> bool:
    # os.path says no where Path raises: a root that may not be read is reported when its files are listed.
    return os.path.isfile(root / DRAWN_NOTE)  # noqa: PTH113


def is_drawn(root: Path) -> bool:
    """Whether a note says so of just the images and tables that are there."""
    if not has_note(root):
        return False
    try:
        return (root / DRAWN_NOTE).read_bytes().endswith(_PROOF.format(digest=_fingerprint(root)).encode())
    except (OSError, UserError):
        return False


def _fingerprint(root: Path) -> str:
    """sha256, hex, over lines "sha256  ./path" of all images and labels, sorted by path. Raises OSError, UserError."""
    files = list_files(root)
    digests = {path: file_digest(root / path) for path in (*files.images, *files.tables)}
    return hashlib.sha256(lock_lines(".", digests).encode()).hexdigest()


def read_lock(file: Path) -> Lock:
    """The lock in a file of lines "sha256  source/path". Raises UserError."""
    try:
        if file.exists() and not file.is_file():
            raise OSError(None, "it is no file")
        with file.open(encoding="utf-8") as opened:
            text = opened.read(_MOST_CHARACTERS)
        if len(text) == _MOST_CHARACTERS:
            raise OSError(None, f"it has {_MOST_CHARACTERS:,} characters or more")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise UserError(f"{file}: cannot be read as a lock ({reason}); name the sources.lock of a dataset") from None
    lock: dict[str, dict[str, str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        match = _LOCK_LINE.fullmatch(line)
        if match is None:
            raise UserError(f'{file}:{number}: is no line "sha256  source/path"; take the sources.lock of a dataset')
        digest, source, path = match.groups()
        if lock.setdefault(source, {}).setdefault(path, digest) != digest:
            raise UserError(f"{file}:{number}: {source}/{path} has another sha256 above; keep one of the lines")
    return lock


def lock_lines(source: str, files: Mapping[str, str]) -> str:
    """The lines of one source, sorted by path, as they stand in a lock. files: path -> sha256."""
    return "".join(f"{files[path]}  {source}/{path}\n" for path in sorted(files))


def apply_lock(listing: Listing, spec: SourceSpec, lock: Lock) -> Listing:
    """The listing with the files that the lock names for this source and no others.

    Raises UserError, every file named, where one of those is not there any more, has changed, or would not be used,
    and where a table or mask that the lock does not hold would decide what they are.
    """
    files = lock.get(spec.name)
    if files is None:
        raise UserError(f"{spec.root}: the lock names no file of source {spec.name}; remove the source or the lock")
    kept = replace(listing, entries=tuple(entry for entry in listing.entries if entry.path in files))
    errors = list(_changed(spec, files)) or list(_misfits(spec, files, kept))
    if errors:
        raise UserError("\n".join(errors))
    out = len({entry.path for entry in listing.entries} - {entry.path for entry in kept.entries})
    return replace(kept, left_out=listing.left_out | {NOT_LOCKED: out}) if out else kept


def _changed(spec: SourceSpec, files: Mapping[str, str]) -> Iterator[str]:
    """An error per file that is not there or has another content; one for all where none is there."""
    located = {path: locate(spec.root, path) for path in files}
    found = {path: file_digest(file) for path, file in located.items() if file.is_file()}
    if not found:
        yield (
            f"{spec.root}: none of the {len(files):,} files is there that the lock names, such as {next(iter(files))}; "
            f"set `root` of source {spec.name} to the folder that holds them"
        )
        return
    for path, digest in files.items():
        if found.get(path) != digest:
            what = f"has changed: its sha256 is {found[path][:12]}..., and" if path in found else "is not there, and"
            yield f"{spec.root / path}: {what} the lock names it with sha256 {digest[:12]}...; restore that file"


def _misfits(spec: SourceSpec, files: Mapping[str, str], kept: Listing) -> Iterator[str]:
    """Files that gave cells when the lock was written and would not now (a copy of theirs took their place, say), and
    masks and tables that decide what cells are and are not locked."""
    masks = [entry.mask for entry in kept.entries if entry.mask is not None]
    used = {*(entry.path for entry in kept.entries), *masks, *kept.tables}
    for path in files:
        if path not in used:
            yield (
                f"{spec.root / path}: the lock names it, and the source leaves it out: remove what takes its place, or "
                "its line from the lock"
            )
    for path, what in {**dict.fromkeys(masks, "mask"), **dict.fromkeys(kept.tables, "table")}.items():
        if path not in files:
            yield f"{spec.root / path}: the lock does not hold this {what}; exclude it"
