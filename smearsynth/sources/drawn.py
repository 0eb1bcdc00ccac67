"""Drawn sources: a folder that holds phantoms in a database's layout says so, so that no card takes them for it."""

import os
from dataclasses import replace
from pathlib import Path

from smearsynth.sources.entry import Facts, Redistribution

MARKER = "DRAWN.txt"
"""File in a source's root which says that everything beside it was drawn."""
TEXT = "Drawn by `smearsynth phantoms`, seed {seed}: no pixel was photographed. Public domain (CC0 1.0).\n"


def is_drawn(root: Path) -> bool:
    # os.path says no where Path raises: a root that may not be read is told of when its files are listed.
    return os.path.isfile(root / MARKER)  # noqa: PTH113


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
