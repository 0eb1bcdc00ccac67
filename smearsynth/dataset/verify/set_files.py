"""What a set consists of beside its shards: files, bank, lock and recipe, each against the index; and the counts of the
index against what was counted in the shards.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smearsynth.bank.bank import Bank
from smearsynth.bank.bank_file import load_bank
from smearsynth.base.config_file import ConfigError
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest
from smearsynth.base.json_values import differences, shown
from smearsynth.base.workers import Died, Tick, isolated
from smearsynth.dataset import layout
from smearsynth.dataset.index import ShardRecord, claim, count_sources, count_split
from smearsynth.dataset.index_schema import DatasetError, IndexFile, IndexSchema
from smearsynth.dataset.provenance import foreign_files
from smearsynth.recipe.model import sample_settings, settings_hash
from smearsynth.recipe.reading import read_resolved
from smearsynth.sources.listing import lock_lines, read_lock
from smearsynth.taxonomy import CLASSES


def listing_errors(out: Path, index: IndexSchema) -> Iterator[DatasetError]:
    """Files that are missing, are links, or are not in the index. A set may be handed on without its bank."""
    for file in index.files:
        if not os.path.lexists(out / file.name):
            if file.name != layout.BANK:
                yield DatasetError(file.name, "is missing")
        elif not layout.is_own_file(out, file.name):
            yield DatasetError(file.name, "is a link" if (out / file.name).is_symlink() else "is no file")
    known = {layout.INDEX, layout.STATE, *(file.name for file in index.files)}
    for path in sorted(out.iterdir()):
        if path.name not in known:
            yield DatasetError(path.name, f"is not in {layout.INDEX}")


def content_errors(out: Path, file: IndexFile) -> Iterator[str]:
    """Where size or sha256 of a file that is there is not the one in the index."""
    path = out / file.name
    try:
        size = path.stat().st_size
        if size != file.size:
            yield f"has {size} bytes, and {file.size} in {layout.INDEX}"
        elif file_digest(path) != file.sha256:
            yield f"its sha256 is not the one in {layout.INDEX}: a byte of either was changed"
    except OSError as error:
        yield f"cannot be read ({error.strerror})"


def lock_errors(out: Path, index: IndexSchema, bank: Bank | None) -> Iterator[DatasetError]:
    """Where `sources.lock`, if the set has one, does not fit the sources in the index, or the files that the cells of
    the bank were cut from.
    """
    if not layout.is_own_file(out, layout.LOCK):
        return
    try:
        lock = read_lock(out / layout.LOCK)
    except UserError as error:
        yield DatasetError(layout.LOCK, str(error).removeprefix(f"{out / layout.LOCK}"))
        return
    for source in index.sources:
        name = str(source.get("name"))
        lines = lock_lines(name, lock.get(name, {}))
        if source.get("sha256") not in (None, hashlib.sha256(lines.encode()).hexdigest()):
            yield DatasetError(layout.LOCK, f"its lines of {name} are not those that {layout.INDEX} has the sha256 of")
    if bank and (foreign := foreign_files(bank, lock)):
        what = f"does not hold as they were {len(foreign)} files that cells were cut from, such as {foreign[0]}"
        yield DatasetError(layout.LOCK, what)


def read_bank(out: Path, index: IndexSchema, given: Path | None) -> tuple[Bank | None, list[DatasetError]]:
    """The bank, None where there is none that can be used, and what is wrong with the set's own.

    given: a file that takes its place. Raises UserError where that is no bank, or not the set's.
    """
    errors, bank = [], None
    if layout.is_own_file(out, layout.BANK):
        bank, what = _load_bank(out / layout.BANK, index)
        errors = [DatasetError(layout.BANK, what)] if what else []
    if given is not None:
        bank, what = _load_bank(given, index)
        if what:
            raise UserError(f"{given}: {what}")
    return bank, errors


def _load_bank(path: Path, index: IndexSchema) -> tuple[Bank | None, str]:
    """The bank in a file, or what is wrong with it. It is loaded in another process before this one opens it."""
    [wrong] = isolated(_try_to_load, [path], workers=1)
    if isinstance(wrong, Died):
        wrong = f"cannot be read as a bank: {wrong.how}"
    if wrong:
        return None, wrong
    bank = load_bank(path)
    if bank.digest != index.bank_digest:
        return None, f"its digest is {bank.digest}, and the set was drawn from {index.bank_digest}: another bank"
    return bank, ""


def _try_to_load(path: Path, tick: Tick) -> str:
    tick(0)
    try:
        load_bank(path)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""


def recipe_errors(out: Path, index: IndexSchema) -> Iterator[DatasetError]:
    """Where the resolved recipe, if it is there, is not the one that the index was made of."""
    if not layout.is_own_file(out, layout.RECIPE):
        return
    try:
        recipe = read_resolved(out / layout.RECIPE)
        recipe_hash = settings_hash(sample_settings(recipe))
        if recipe_hash != index.recipe_hash:
            what = f"its hash is {recipe_hash}, and `recipe_hash` {index.recipe_hash} in {layout.INDEX}"
            yield DatasetError(layout.RECIPE, what)
        in_recipe: dict[str, Any] = {key: recipe[key] for key in ("name", "size", "count")}
        in_recipe["looks"] = [look["name"] for look in recipe["looks"]]
        in_index: dict[str, Any] = {
            "name": index.name,
            "size": list(index.size),
            "count": {split: part.scenes for split, part in index.splits.items()},
            "looks": list(index.looks),
        }
        if index.publish is not None:
            in_recipe |= {key: recipe[key] for key in ("publish", "about")}
            in_recipe["claim"] = claim(recipe["frozen"], index.model_dump())
            in_index |= {"publish": index.publish, "about": index.about, "claim": index.claim}
        for path, there, due in differences(in_recipe, in_index):
            yield DatasetError(layout.RECIPE, f"{path} is {shown(there)}, and {shown(due)} in {layout.INDEX}")
    except ConfigError as error:
        yield from (DatasetError(layout.RECIPE, line.sentence) for line in error.errors)
    except (LookupError, TypeError, AttributeError):
        yield DatasetError(layout.RECIPE, "is no resolved recipe")


def count_errors(
    index: IndexSchema, split: str, records: Sequence[ShardRecord], bank: Bank | None
) -> Iterator[DatasetError]:
    """Where the index counts a split otherwise than `records` of all its shards do.

    Without a bank, and so without sources, only the sums over the sources are checked. `dropped` is in no shard, and
    `area` in no index of an earlier smearsynth.
    """
    stated = index.splits[split]  # type: ignore[index]
    counted = count_split(records) | (count_sources(records, bank, split) if bank else {})
    checked = counted.keys() - {"dropped", *(() if stated.area else ("area",))}
    for path, there, due in differences(stated.model_dump(include=checked), {key: counted[key] for key in checked}):
        yield _count_error(f"{split}.{path} is", there, due)
    if bank is None:
        sums = {c.key: sum(stated.class_by_source.get(c.key, {}).values()) for c in CLASSES[1:]}
        for path, there, due in differences(sums, counted["objects"]):
            yield _count_error(f"{split}.class_by_source.{path} adds up to", there, due)


def _count_error(what: str, there: object, due: object) -> DatasetError:
    return DatasetError(layout.INDEX, f"splits.{what} {shown(there)}, and the shards hold {shown(due)}")
