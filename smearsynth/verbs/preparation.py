"""What a build starts from: the recipe, where it goes, and the cells that it draws from.

The cells are those of a bank that is given, or of the set that is resumed, or they are cut from the sources. A bank
that is given may stand in for the recipe's sources only where the recipe answers for them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smearsynth.bank.bank import Bank
from smearsynth.bank.bank_file import load_bank
from smearsynth.bank.make_bank import MadeBank, make_bank
from smearsynth.bank.rescaling import scale_text
from smearsynth.base import json_values
from smearsynth.base.config_file import ConfigError
from smearsynth.base.errors import UserError
from smearsynth.base.progress import say
from smearsynth.dataset import layout
from smearsynth.dataset.build_state import MOST_BYTES
from smearsynth.dataset.index_schema import check_index
from smearsynth.dataset.provenance import describe, describe_bank, foreign_files, lock_text
from smearsynth.dataset.verify.set_files import content_errors
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import check_roots, load_recipe
from smearsynth.recipe.source_options import SourceSpec
from smearsynth.sources.listing import read_lock
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC
from smearsynth.verbs.check import check_sources

_REASONS = 3
"""Reasons of refusal that are told of a source."""
_NAMED = 10
"""Files that are named, at most."""


@dataclass(frozen=True, kw_only=True)
class PreparedCells:
    """The bank, what is known of its sources (see `dataset.provenance`), the lock of their files, "" if none is known,
    and a sentence per file that could not be read. file: what the bank was read from, None where it was just made.
    """

    bank: Bank
    sources: list[dict[str, Any]]
    lock: str
    unread: tuple[str, ...] = ()
    file: Path | None = None


def read_recipe(path: str | Path, overrides: Sequence[str], *, limit: int | None = None, roots: bool = True) -> Recipe:
    """The recipe, with at most `limit` scenes per split. roots: whether its sources will surely be read."""
    if limit is not None and limit < 1:
        raise UserError(f"{limit} scenes are too few: give 1 or more", "limit")
    recipe = load_recipe(path, overrides, roots=roots)
    if limit is None:
        return recipe
    return recipe.model_copy(update={"count": {split: min(n, limit) for split, n in recipe.count.items()}})


def target(recipe: Recipe, out: str | Path | None) -> Path:
    """The folder that a build goes to: `out`, or one named like the recipe in the working directory."""
    return Path(out) if out is not None else Path(recipe.name)


def prepare_cells(
    recipe: Recipe, *, bank: str | Path | None, resumed: Path | None, workers: int, progress: bool
) -> PreparedCells:
    """From the bank file if one is given, else from the bank of the dataset that is resumed, else from the sources.

    Raises UserError where they can't be read or are not fit for the recipe.
    """
    if bank is not None:
        return _given_cells(Path(bank), resumed, recipe)
    if resumed and (resumed / layout.BANK).is_file():
        return _given_cells(resumed / layout.BANK, resumed, recipe)
    check_roots(recipe)
    made = make_bank(recipe, listings=check_sources(recipe), workers=workers, progress=progress)
    tell_refusals(recipe, made, tell=progress)
    lock = lock_text(recipe, made)
    return PreparedCells(bank=made.bank, sources=describe(recipe, made, lock), lock=lock, unread=made.errors)


@dataclass(frozen=True, kw_only=True)
class _Refusals:
    """Of a source: its cells, and those that were refused, by reason."""

    accepted: int
    refused: Counter[str]

    @property
    def share(self) -> float:
        return self.refused.total() / max(1, self.accepted + self.refused.total())


def _refusals_of(spec: SourceSpec, made: MadeBank) -> _Refusals:
    """Of the cells that a source names: that red cells around them are cut by the border of a crop is no sign of one
    that is read wrongly."""
    around = spec.also == "healthy_rbc" or spec.rest == "healthy_rbc"
    named = {c.id for c in CLASSES} - ({HEALTHY_RBC} if around else set())
    bank, number = made.bank, made.bank.sources.index(spec.name)
    accepted = sum(
        source == number and not parts and class_id in named
        for source, parts, class_id in zip(bank.source.tolist(), bank.parts, bank.class_id.tolist(), strict=True)
    )
    refused = Counter[str]()
    for (name, class_id, reason), count in made.refusals.items():
        if name == spec.name and class_id in named:
            refused[reason] += count
    return _Refusals(accepted=accepted, refused=refused)


def tell_refusals(recipe: Recipe, made: MadeBank, *, tell: bool) -> None:
    """Says on stderr, if asked to, the scale of each source and what share of it was refused. Raises ConfigError that
    names every source of which that is more than it allows."""
    errors = []
    for number, spec in enumerate(recipe.sources):
        found = _refusals_of(spec, made)
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in found.refused.most_common(_REASONS))
        what = f"{found.share:.1%} of the {found.accepted + found.refused.total():,} named cells of {spec.name}"
        if tell:
            say(f"{spec.name}: {scale_text(spec, made.listings[spec.name], made.um_per_px[spec.name])}")
            say(f"{what} were refused" + f" ({reasons})" * bool(reasons))
        if found.share > spec.most_refused:
            sentence = (
                f"{what} were refused ({reasons}), above its `most_refused` of {spec.most_refused:g}: look at them "
                "with `smearsynth cells RECIPE`, mend the source or `cells.gate`, or set most_refused to 1"
            )
            errors.append(recipe.error_at(("sources", number), sentence))
    if errors:
        raise ConfigError(errors)


def _given_cells(file: Path, resumed: Path | None, recipe: Recipe) -> PreparedCells:
    """What is known of the sources: as the set that is resumed has it; else as the dataset that the bank lies in, if
    its index is sound and of this bank; else as the recipe states it.
    """
    bank = load_bank(file)
    _check_fit(bank, file, recipe)
    recipe_lock = recipe.lock_file.read_text(encoding="utf-8") if recipe.lock_file else ""
    if resumed and (resumed / layout.SOURCES).is_file():
        lock = "" if (resumed / layout.LOCK).is_file() else recipe_lock
        return PreparedCells(bank=bank, sources=recorded_sources(resumed), lock=lock, file=file)
    folder = file.parent
    index, errors = check_index(folder) if (folder / layout.INDEX).is_file() else (None, [])
    if not index or errors or index.bank_digest != bank.digest:
        sources = describe_bank(recipe, bank, recipe_lock)
        return PreparedCells(bank=bank, sources=sources, lock=recipe_lock, file=file)
    kept = [f for f in index.files if f.name == layout.LOCK and not list(content_errors(folder, f))]
    lock = (folder / layout.LOCK).read_text(encoding="utf-8") if kept else recipe_lock
    return PreparedCells(bank=bank, sources=[dict(source) for source in index.sources], lock=lock, file=file)


def _check_fit(bank: Bank, file: Path, recipe: Recipe) -> None:
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


def recorded_sources(out: Path) -> list[dict[str, Any]]:
    """What the build that began the set `out` has written of its sources."""
    file = out / layout.SOURCES
    try:
        sources, _ = json_values.read_json(file, MOST_BYTES)
        return [{**source, "name": source["name"]} for source in sources]
    except (OSError, ValueError, TypeError, LookupError):
        raise UserError(f"{file} is damaged, so nothing can be resumed: overwrite it", "overwrite") from None
