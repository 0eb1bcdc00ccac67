"""What a build starts from: the recipe, where it goes, and which cells it draws from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smearsynth import strict_json
from smearsynth.cells import bank as banks
from smearsynth.cells.bank import Bank
from smearsynth.cells.make import make_bank
from smearsynth.cores import usable_cores
from smearsynth.dataset import layout
from smearsynth.dataset.provenance import describe, lock_text
from smearsynth.dataset.state import MOST_BYTES
from smearsynth.errors import UserError
from smearsynth.recipe import Recipe, load
from smearsynth.verbs.check import check_sources
from smearsynth.verbs.given_bank import check_bank, recipe_lock, told_of


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


def target(recipe_path: str | Path, out: str | Path | None, overrides: Sequence[str]) -> Path:
    """The folder that a build goes to: `out`, or one named like the recipe in the working directory."""
    return Path(out) if out is not None else Path(load(recipe_path, overrides, roots=False).name)


def checked_workers(workers: int | None) -> int:
    """`workers`, or one per core that this process may use."""
    if workers is None:
        return usable_cores()
    if workers < 1:
        raise UserError(f"--workers is {workers}: give 1 or more.")
    return workers


def read_recipe(path: str | Path, overrides: Sequence[str], *, limit: int | None = None, roots: bool = True) -> Recipe:
    """The recipe, with at most `limit` scenes per split. roots: False where no source will be read."""
    if limit is not None and limit < 1:
        raise UserError(f"--limit is {limit}: give 1 or more.")
    recipe = load(path, overrides, roots=roots)
    if limit is None:
        return recipe
    return recipe.model_copy(update={"count": {split: min(n, limit) for split, n in recipe.count.items()}})


def find_cells(
    recipe_path: str | Path,
    overrides: Sequence[str],
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
        return _loaded(file, resumed, load(recipe_path, overrides, roots=False))
    recipe = load(recipe_path, overrides)
    check_sources(recipe)
    made = make_bank(recipe, workers=workers, progress=progress)
    lock = lock_text(recipe, made)
    return Cells(bank=made.bank, sources=describe(recipe, made, lock), lock=lock, unread=made.faults)


def _loaded(file: Path, resumed: Path | None, recipe: Recipe) -> Cells:
    bank = banks.load(file)
    check_bank(bank, file, recipe)
    sources, lock = told_of(bank, file, recipe)
    if resumed and (resumed / layout.SOURCES).is_file():
        sources, lock = told_sources(resumed), "" if (resumed / layout.LOCK).is_file() else recipe_lock(recipe)
    return Cells(bank=bank, sources=sources, lock=lock, file=file)


def told_sources(out: Path) -> list[dict[str, Any]]:
    """What the build that began the set `out` has told of its sources."""
    file = out / layout.SOURCES
    try:
        told, _ = strict_json.read(file, MOST_BYTES)
        return [{**source, "name": source["name"]} for source in told]
    except (OSError, ValueError, TypeError, LookupError):
        raise UserError(f"{file} is damaged, so nothing can be resumed: give --overwrite.") from None
