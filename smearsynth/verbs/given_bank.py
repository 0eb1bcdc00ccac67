"""A bank that is already made: whether it may stand in for the recipe's sources, and what is known of its own."""

from pathlib import Path
from typing import Any

from smearsynth.cells.bank import Bank
from smearsynth.dataset import layout
from smearsynth.dataset.provenance import describe_bank, foreign_files
from smearsynth.dataset.verify.files import content_faults
from smearsynth.dataset.verify.stated import Stated, read_stated
from smearsynth.errors import UserError
from smearsynth.recipe import Recipe
from smearsynth.sources.lock import read_lock

_NAMED = 10
"""Files that are named; of more, only the number is told."""


def check_bank(bank: Bank, file: Path, recipe: Recipe) -> None:
    """Raises UserError where cells are of a source that the recipe does not answer for, though the set is to be
    published, or were cut from files that are not as the recipe's lock has them.
    """
    unnamed = sorted(set(bank.sources) - {spec.name for spec in recipe.sources})
    if recipe.publish and unnamed:
        raise UserError(
            f"{file}: holds cells of {', '.join(unnamed)}, which the recipe does not name, so nobody says that they "
            "may be handed on, and `publish` is true: set publish: false, or take a bank of this recipe"
        )
    foreign = foreign_files(bank, read_lock(recipe.lock_file)) if recipe.lock_file else []
    if foreign:
        more = f" and {len(foreign) - _NAMED:,} more" if len(foreign) > _NAMED else ""
        raise UserError(
            f"{file}: was cut from files that {recipe.lock_file} does not hold as they were: "
            f"{', '.join(foreign[:_NAMED])}{more}; take a bank of this lock, or remove `lock` from the recipe"
        )


def told_of(bank: Bank, file: Path, recipe: Recipe) -> tuple[list[dict[str, Any]], str]:
    """What is told of the sources, and the lock of their files, "" where none is known.

    A bank that lies in a dataset brings along what that dataset tells; of another, the recipe states it.
    """
    stated = _stated(file.parent, bank)
    lock = (_kept_lock(file.parent, stated) if stated else "") or recipe_lock(recipe)
    return [dict(source) for source in stated.sources] if stated else describe_bank(recipe, bank, lock), lock


def recipe_lock(recipe: Recipe) -> str:
    """The text of the recipe's lock, "" where it has none."""
    return recipe.lock_file.read_text(encoding="utf-8") if recipe.lock_file else ""


def _stated(folder: Path, bank: Bank) -> Stated | None:
    """The index of the dataset in `folder`, where there is a sound one that was drawn from this bank."""
    if not (folder / layout.INDEX).is_file():
        return None
    stated, faults = read_stated(folder)
    return stated if stated and not faults and stated.bank_digest == bank.digest else None


def _kept_lock(folder: Path, stated: Stated) -> str:
    for file in stated.files:
        if file.name == layout.LOCK and not list(content_faults(folder, file)):
            return (folder / layout.LOCK).read_text(encoding="utf-8")
    return ""
