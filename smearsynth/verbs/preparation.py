"""A bank that is already made: whether it may stand in for the recipe's sources, and what is known of its own.

What a build starts from: the recipe, where it goes, and which cells it draws from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smearsynth.bank.bank import Bank
from smearsynth.bank.bank_file import load_bank
from smearsynth.bank.make_bank import make_bank
from smearsynth.base import json_values
from smearsynth.base.errors import UserError
from smearsynth.base.workers import usable_cores
from smearsynth.dataset import layout
from smearsynth.dataset.build_state import MOST_BYTES
from smearsynth.dataset.index_schema import IndexSchema, check_index
from smearsynth.dataset.provenance import describe, describe_bank, foreign_files, lock_text
from smearsynth.dataset.verify.set_files import content_errors
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import check_roots, load_recipe
from smearsynth.sources.listing import read_lock
from smearsynth.verbs.check import check_sources

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


def _stated(folder: Path, bank: Bank) -> IndexSchema | None:
    """The index of the dataset in `folder`, where there is a sound one that was drawn from this bank."""
    if not (folder / layout.INDEX).is_file():
        return None
    stated, errors = check_index(folder)
    return stated if stated and not errors and stated.bank_digest == bank.digest else None


def _kept_lock(folder: Path, stated: IndexSchema) -> str:
    for file in stated.files:
        if file.name == layout.LOCK and not list(content_errors(folder, file)):
            return (folder / layout.LOCK).read_text(encoding="utf-8")
    return ""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The bank, what is told of its sources (see `dataset.provenance`), the lock of their files, "" if none is known,
    and a sentence per file that could not be read. file: what the bank was read from, None where it was just made.
    """

    bank: Bank
    sources: list[dict[str, Any]]
    lock: str
    unread: tuple[str, ...] = ()
    file: Path | None = None


def target(recipe: Recipe, out: str | Path | None) -> Path:
    """The folder that a build goes to: `out`, or one named like the recipe in the working directory."""
    return Path(out) if out is not None else Path(recipe.name)


def checked_workers(workers: int | None) -> int:
    """`workers`, or one per core that this process may use."""
    if workers is None:
        return usable_cores()
    if workers < 1:
        raise UserError(f"{workers} are too few: give 1 or more", "workers")
    return workers


def read_recipe(path: str | Path, overrides: Sequence[str], *, limit: int | None = None, roots: bool = True) -> Recipe:
    """The recipe, with at most `limit` scenes per split. roots: False where no source will be read."""
    if limit is not None and limit < 1:
        raise UserError(f"{limit} scenes are too few: give 1 or more", "limit")
    recipe = load_recipe(path, overrides, roots=roots)
    if limit is None:
        return recipe
    return recipe.model_copy(update={"count": {split: min(n, limit) for split, n in recipe.count.items()}})


def find_cells(
    recipe: Recipe,
    *,
    bank: str | Path | None,
    resumed: Path | None,
    workers: int,
    progress: bool,
) -> Cells:
    """From the bank file if one is given, else from the bank of the dataset that is resumed, else from the
    sources. Raises UserError, where they are not fit for the recipe too (see `verbs.given_bank`).
    """
    file = Path(bank) if bank is not None else resumed and resumed / layout.BANK
    if file and (bank is not None or file.is_file()):
        return _loaded(file, resumed, recipe)
    check_roots(recipe)
    check_sources(recipe)
    made = make_bank(recipe, workers=workers, progress=progress)
    lock = lock_text(recipe, made)
    return Cells(bank=made.bank, sources=describe(recipe, made, lock), lock=lock, unread=made.errors)


def _loaded(file: Path, resumed: Path | None, recipe: Recipe) -> Cells:
    bank = load_bank(file)
    check_bank(bank, file, recipe)
    sources, lock = told_of(bank, file, recipe)
    if resumed and (resumed / layout.SOURCES).is_file():
        sources, lock = told_sources(resumed), "" if (resumed / layout.LOCK).is_file() else recipe_lock(recipe)
    return Cells(bank=bank, sources=sources, lock=lock, file=file)


def told_sources(out: Path) -> list[dict[str, Any]]:
    """What the build that began the set `out` has told of its sources."""
    file = out / layout.SOURCES
    try:
        told, _ = json_values.read_json(file, MOST_BYTES)
        return [{**source, "name": source["name"]} for source in told]
    except (OSError, ValueError, TypeError, LookupError):
        raise UserError(f"{file} is damaged, so nothing can be resumed: overwrite it", "overwrite") from None
