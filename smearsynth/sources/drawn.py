"""Drawn sources: a folder that holds phantoms in a database's layout says so, so that no card takes them for it.

Phantoms are public domain and may be handed on where the database may not, so a note alone is no proof: it holds a
fingerprint of what was drawn. Where anything else lies there, a copied note beside real cells say, the source is taken
for the database, whose licence is never the wider one.
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from smearsynth.errors import UserError
from smearsynth.files import file_digest
from smearsynth.sources.entry import Facts, Redistribution
from smearsynth.sources.files import DRAWN_NOTE, list_files
from smearsynth.sources.lock import lines_of

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
