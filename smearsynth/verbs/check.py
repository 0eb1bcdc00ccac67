"""Every error of a recipe and of its sources, found from names alone: no image is decoded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smearsynth.base.config_file import ConfigError, ErrorLine
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import load_recipe
from smearsynth.sources.entry import Listing, Redistribution
from smearsynth.sources.listing import has_note, stated_facts, try_sources
from smearsynth.sources.source_files import DRAWN_NOTE
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, PLATELET_CLUMP, THROMBOCYTE

_REFUSES = {
    Redistribution.FORBIDDEN: "forbids to hand its images on",
    Redistribution.NOT_STATED: "does not state that its images may be handed on",
}

_OWN = ("crops", "fields")
"""Kinds of which the recipe states the licence."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A recipe without an error, and the listing of each of its sources by name."""

    recipe: Recipe
    listings: Mapping[str, Listing]


def check(recipe_path: str | Path, *, overrides: Sequence[str] = ()) -> Checked:
    """Reads the recipe in the file `recipe_path` and lists its sources.

    overrides: "path=value" each, laid over the recipe. Raises ConfigError with all errors: first those of the recipe
    alone, and once it has none, those of its sources.

    >>> list(smearsynth.check("recipes/quickstart.yaml").listings)
    ['lisc', 'iumc', 'mamic', 'kaggle']
    """
    recipe = load_recipe(recipe_path, overrides)
    return Checked(recipe=recipe, listings=check_sources(recipe))


def check_sources(recipe: Recipe) -> dict[str, Listing]:
    """The listing of each source by name. Raises ConfigError with every error of every source."""
    listings, errors = try_sources(recipe)
    errors += _not_to_publish(recipe)
    if len(listings) == len(recipe.sources):
        errors += _absent_classes(recipe, listings)
    if errors:
        raise ConfigError(errors)
    return listings


def check_publish(recipe: Recipe) -> None:
    """Raises ConfigError where the set is to be published and the cells of a source may not be."""
    if errors := _not_to_publish(recipe):
        raise ConfigError(errors)


def describe(checked: Checked) -> dict[str, Any]:
    """What each source holds, for --json: images per class and files left out by reason."""
    sources = {
        name: {
            "title": listing.facts.title,
            "licence": listing.facts.licence,
            "redistribution": listing.facts.redistribution.value,
            "images": dict(sorted(Counter(entry.class_key for entry in listing.entries if entry.class_key).items())),
            "left_out": listing.left_out,
        }
        for name, listing in checked.listings.items()
    }
    return {"name": checked.recipe.name, "sample_hash": checked.recipe.sample_hash(), "sources": sources}


def as_text(found: dict[str, Any]) -> str:
    """What `describe` gave, for a person."""
    lines = [f"{found['name']}: no fault found"]
    for name, source in found["sources"].items():
        lines += ["", f"{name}: {source['title']} ({source['licence']}; redistribution {source['redistribution']})"]
        lines += [f"  {count:7,} {what}" for what, count in source["images"].items()]
        lines += [f"  {count:7,} left out: {why}" for why, count in source["left_out"].items()]
    return "\n".join(lines)


def _not_to_publish(recipe: Recipe) -> list[ErrorLine]:
    if not recipe.publish:
        return []
    return [
        recipe.error_at(
            ("sources", number),
            f"source {spec.name} {_REFUSES[allowed]}, and `publish` is true: set publish: false, leave this source out"
            + (", or set its `redistribution: allowed` if you have the right" if spec.kind in _OWN else "")
            + (f"; its {DRAWN_NOTE} was written for other files than lie there" if has_note(spec.root) else ""),
        )
        for number, spec in enumerate(recipe.sources)
        if (allowed := stated_facts(spec).redistribution) in _REFUSES
    ]


def _absent_classes(recipe: Recipe, listings: Mapping[str, Listing]) -> list[ErrorLine]:
    entries = [entry for listing in listings.values() for entry in listing.entries]
    present = {entry.class_key for entry in entries}
    if any(entry.also_red for entry in entries):
        present.add(CLASSES[HEALTHY_RBC].key)
    if CLASSES[THROMBOCYTE].key in present:
        # Clumps are assembled from single thrombocytes where no source has any.
        present.add(CLASSES[PLATELET_CLUMP].key)
    return [
        recipe.error_at(
            ("sources",),
            f"no source has a cell of class {c.key}: add a source that has some, map its folder by `classes`, or name "
            "the combinations without that class in `scene.combinations`",
        )
        for c in CLASSES[1:]
        if c.id in recipe.scene.classes() and c.key not in present
    ]
