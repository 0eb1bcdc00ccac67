"""Where the cells of a set come from: what is told of each source, and the checksums of its files."""

from typing import Any

from smearsynth.cells.make import Made
from smearsynth.dataset.record import file_digest
from smearsynth.recipe import Recipe
from smearsynth.taxonomy import CLASSES


def describe(recipe: Recipe, made: Made) -> list[dict[str, Any]]:
    """Per source of the recipe: what its owner says of it, scale, grouping, refused cells and files left out."""
    described = []
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
                "refused": _refused(made, spec.name),
                "files_left_out": dict(listing.left_out),
            }
        )
    return described


def _refused(made: Made, source: str) -> dict[str, dict[str, int]]:
    """Class key -> reason -> cells."""
    by_class: dict[str, dict[str, int]] = {}
    for (name, class_id, reason), count in sorted(made.refusals.items()):
        if name == source:
            by_class.setdefault(CLASSES[class_id].key, {})[reason] = count
    return by_class


def lock_text(recipe: Recipe, made: Made) -> str:
    """A line "sha256  source/path" for every image, mask and table that was read, sorted by path."""
    lines = []
    for spec in recipe.sources:
        listing = made.listings[spec.name]
        paths = {entry.path for entry in listing.entries} | {entry.mask for entry in listing.entries if entry.mask}
        lines += [
            f"{file_digest(spec.root / path)}  {spec.name}/{path}" for path in sorted(paths | set(listing.tables))
        ]
    return "\n".join(lines) + "\n"
