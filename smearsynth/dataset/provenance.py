"""Where the cells of a set come from: its bank, what is known of each source, and the checksums of their files."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from smearsynth.bank.bank import Bank
from smearsynth.bank.bank_file import load_bank
from smearsynth.bank.make_bank import MadeBank
from smearsynth.bank.quality_gate import refusal_tree
from smearsynth.base.errors import UserError, WorkError
from smearsynth.base.files import file_digest
from smearsynth.dataset import layout
from smearsynth.dataset.index_schema import IndexSchema
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.entry import Listing
from smearsynth.sources.listing import Lock, lock_lines, stated_facts


def bank_of(folder: Path, stated: IndexSchema, given: Path | None = None) -> Bank | None:
    """The bank in the file `given`, else the set's own; None where the set was handed on without it.

    Raises UserError for a file that is no bank, or that of another set.
    """
    file = given or folder / layout.BANK
    if given is None and not file.is_file():
        return None
    bank = load_bank(file)
    if bank.digest != stated.bank_digest:
        raise UserError(f"{file} is not the bank that {folder} was drawn from.")
    return bank


def lock_text(recipe: Recipe, made: MadeBank) -> str:
    """A line "sha256  source/path" for every image, mask and table that could be read, sorted by path.

    Raises WorkError where a file is not what the bank was cut from any more.
    """
    texts = []
    for spec in recipe.sources:
        files = _files(spec, made.listings[spec.name])
        _refuse_changed(made.bank, spec, files)
        texts.append(lock_lines(spec.name, files))
    return "".join(texts)


def describe(recipe: Recipe, made: MadeBank, lock: str) -> list[dict[str, Any]]:
    """Per source of the recipe: what its owner says of it, what was read, scale, grouping, refused cells, files left
    out.

    lock: as of `lock_text`. Of it come `files`, the number of files that were read, and `sha256`, over the source's
    lines and so over all of these files.
    """
    refused = refusal_tree(made.refusals)
    return [
        {
            **_stated(spec, lock),
            "um_per_px": round(made.um_per_px[spec.name], 6),
            "refused": refused.get(spec.name, {}),
            "files_left_out": dict(made.listings[spec.name].left_out),
        }
        for spec in recipe.sources
    ]


def describe_bank(recipe: Recipe, bank: Bank, lock: str) -> list[dict[str, Any]]:
    """The same per source of a ready bank, as far as the recipe states it of a source of that name: what it was cut
    with is not known, and what was read only where there is a lock, else "".
    """
    specs = {spec.name: spec for spec in recipe.sources}
    return [_stated(specs[name], lock) if name in specs else {"name": name} for name in bank.sources]


def _stated(spec: SourceSpec, lock: str) -> dict[str, Any]:
    facts = stated_facts(spec)
    lines = [line for line in lock.splitlines(keepends=True) if line.split("  ", 1)[1].startswith(f"{spec.name}/")]
    read = {"files": len(lines), "sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}
    return {
        "name": spec.name,
        "kind": spec.kind,
        "title": facts.title,
        "version": spec.version,
        "licence": facts.licence,
        "redistribution": str(facts.redistribution),
        "cite": facts.cite,
        "grouping": facts.grouping,
        "patients_known": facts.patients_known,
        **(read if lock else {}),
    }


def _files(spec: SourceSpec, listing: Listing) -> dict[str, str]:
    """Path -> sha256."""
    paths = {entry.path for entry in listing.entries} | {entry.mask for entry in listing.entries if entry.mask}
    files = {}
    for path in paths | set(listing.tables):
        # A file that cannot be read gave no cell: it was refused and told of when cells were cut.
        with suppress(OSError):
            files[path] = file_digest(spec.root / path)
    return files


def _refuse_changed(bank: Bank, spec: SourceSpec, files: Mapping[str, str]) -> None:
    for source, path, sha256 in zip(bank.source, bank.paths, bank.sha256, strict=True):
        if bank.sources[source] == spec.name and files.get(path) != sha256:
            raise WorkError(
                f"{spec.root / path}: changed while its cells were cut; leave the sources alone and try again"
            )


def foreign_files(bank: Bank, lock: Lock) -> list[str]:
    """Files, as "source/path", that cells were cut from and that the lock does not hold with the same sha256."""
    held = {(source, path, sha256) for source, files in lock.items() for path, sha256 in files.items()}
    used = {(bank.sources[s], path, sha) for s, path, sha in zip(bank.source, bank.paths, bank.sha256, strict=True)}
    return sorted(f"{source}/{path}" for source, path, _ in used - held)
