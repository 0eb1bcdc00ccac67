"""Every error of a recipe and of its sources, found from names alone; and, of one without an error, the scale of each
source, for which some of its images are cut."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smearsynth.bank.make_bank import estimate_scales
from smearsynth.bank.rescaling import scale_text
from smearsynth.base.config_file import ConfigError, ErrorLine
from smearsynth.base.errors import UserError
from smearsynth.base.workers import usable_cores
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import load_recipe, load_valid_sources
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.entry import Listing, Redistribution
from smearsynth.sources.listing import has_note, list_entries, stated_facts, try_sources
from smearsynth.sources.source_files import DRAWN_NOTE
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, PLATELET_CLUMP, THROMBOCYTE

_REFUSES = {
    Redistribution.FORBIDDEN: "forbids to hand its images on",
    Redistribution.NOT_STATED: "does not state that its images may be handed on",
}

_OF_A_SCALE = 100
"""Images of a source that are cut to find its scale: half a minute of one core for the largest fields."""

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


def survey(recipe_path: str | Path, *, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], list[ErrorLine]]:
    """What each source holds that can be listed, as `describe` gives it, and all errors: one in the recipe hides no
    source. Without an error also `um_per_px` of each, from the first hundred images that are evenly taken, None where
    too few cells show it, and `scale`, what that rests on, in words."""
    try:
        recipe = load_recipe(recipe_path, overrides)
    except ConfigError as error:
        return {"sources": _described(_listings_of(load_valid_sources(recipe_path, overrides)))}, [*error.errors]
    listings, errors = _try_all(recipe)
    found = describe(Checked(recipe=recipe, listings=listings))
    if not errors:
        scales = estimate_scales(recipe, listings, images=_OF_A_SCALE, workers=usable_cores())
        for spec in recipe.sources:
            um_per_px = scales.get(spec.name)
            text = scale_text(spec, listings[spec.name], um_per_px) if um_per_px else "shows once all its cells are cut"
            found["sources"][spec.name] |= {"um_per_px": um_per_px, "scale": text}
    return found, errors


def _listings_of(specs: Sequence[SourceSpec]) -> dict[str, Listing]:
    found = {}
    for spec in specs:
        with suppress(UserError):
            found[spec.name] = list_entries(spec)
    return found


def check_sources(recipe: Recipe) -> dict[str, Listing]:
    """The listing of each source by name. Raises ConfigError with every error of every source."""
    listings, errors = _try_all(recipe)
    if errors:
        raise ConfigError(errors)
    return listings


def _try_all(recipe: Recipe) -> tuple[dict[str, Listing], list[ErrorLine]]:
    listings, errors = try_sources(recipe)
    errors += _not_to_publish(recipe)
    if len(listings) == len(recipe.sources):
        errors += _absent_classes(recipe, listings)
    return listings, errors


def check_publish(recipe: Recipe) -> None:
    """Raises ConfigError where the set is to be published and the cells of a source may not be."""
    if errors := _not_to_publish(recipe):
        raise ConfigError(errors)


def describe(checked: Checked) -> dict[str, Any]:
    """What each source holds, for --json: images per class and files left out by reason."""
    recipe = checked.recipe
    return {"name": recipe.name, "sample_hash": recipe.sample_hash(), "sources": _described(checked.listings)}


def _described(listings: Mapping[str, Listing]) -> dict[str, Any]:
    return {
        name: {
            "title": listing.facts.title,
            "licence": listing.facts.licence,
            "redistribution": listing.facts.redistribution.value,
            "images": dict(sorted(Counter(entry.class_key for entry in listing.entries if entry.class_key).items())),
            "left_out": listing.left_out,
        }
        for name, listing in listings.items()
    }


def as_text(found: dict[str, Any], errors: Sequence[ErrorLine] = ()) -> str:
    """What `describe` or `survey` gave, for a person."""
    lines = [] if errors else [f"{found['name']}: no fault found"]
    for name, source in found["sources"].items():
        lines += ["", f"{name}: {source['title']} ({source['licence']}; redistribution {source['redistribution']})"]
        lines += [f"  scale: {source['scale']}"] if "scale" in source else []
        lines += [f"  {count:7,} {what}" for what, count in source["images"].items()]
        lines += [f"  {count:7,} left out: {why}" for why, count in source["left_out"].items()]
    return "\n".join(lines).lstrip("\n")


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
