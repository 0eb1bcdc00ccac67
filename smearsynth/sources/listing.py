"""All sources of a recipe listed, with their lock applied and every fault of theirs collected."""

from smearsynth.errors import UserError
from smearsynth.recipe import Recipe
from smearsynth.sources import list_entries
from smearsynth.sources.entry import Listing
from smearsynth.sources.lock import Lock, apply_lock, read_lock
from smearsynth.strict_yaml import DocumentError, Fault


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
