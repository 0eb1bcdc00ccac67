"""Where the cells of a set come from: what is told of each source, and the checksums of its files."""

from contextlib import suppress
from typing import Any

from smearsynth.cells.counts import refused_cells
from smearsynth.cells.make import Made
from smearsynth.files import file_digest
from smearsynth.recipe import Recipe


def describe(recipe: Recipe, made: Made) -> list[dict[str, Any]]:
    """Per source of the recipe: what its owner says of it, scale, grouping, refused cells and files left out."""
    described, refused = [], refused_cells(made.refusals)
    for spec in recipe.sources:
        listing = made.listings[spec.name]
        facts = listing.facts
        described.append(
            {
                "name": spec.name,
                "kind": spec.kind,
                "title": facts.title,
                "licence": facts.licence,
                "redistribution": str(facts.redistribution),
                "cite": facts.cite,
                "grouping": facts.grouping,
                "patients_known": facts.patients_known,
                "um_per_px": round(made.um_per_px[spec.name], 6),
                "refused": refused.get(spec.name, {}),
                "files_left_out": dict(listing.left_out),
            }
        )
    return described


def lock_text(recipe: Recipe, made: Made) -> str:
    """A line "sha256  source/path" for every image, mask and table that could be read, sorted by path."""
    lines = []
    for spec in recipe.sources:
        listing = made.listings[spec.name]
        paths = {entry.path for entry in listing.entries} | {entry.mask for entry in listing.entries if entry.mask}
        for path in sorted(paths | set(listing.tables)):
            # A file that cannot be read gave no cell: it was refused and told of when cells were cut.
            with suppress(OSError):
                lines.append(f"{file_digest(spec.root / path)}  {spec.name}/{path}")
    return "\n".join(lines) + "\n"
