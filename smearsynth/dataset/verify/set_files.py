"""The files of a set: all there, none besides, each of the size and sha256 in the index.

`sources.lock` against what the index tells of each source, and against the files that cells were cut from.

The bank that a set was drawn from: its own cells.h5, or a file that is given in its place.

The index against the samples: what it counts, counted again from the shards by what makes an index.

The recipe of a set, and what its build keeps in `.smearsynth`, against index and shards.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smearsynth.bank.bank import Bank, load_bank
from smearsynth.base import json_values
from smearsynth.base.contained import Died, Tick, in_order
from smearsynth.base.documents import DocumentError
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest
from smearsynth.base.json_values import differences, shown
from smearsynth.dataset import layout
from smearsynth.dataset.build_state import MOST_BYTES, Identity, marker, marker_name
from smearsynth.dataset.index import ShardRecord, claim, count_sources, count_split
from smearsynth.dataset.provenance import foreign_files
from smearsynth.dataset.verify.stated_index import Fault, File, Split, Stated
from smearsynth.recipe.reading import read_resolved
from smearsynth.sources.listing import lines_of, read_lock
from smearsynth.taxonomy import CLASSES, SPLITS


def listing_faults(out: Path, stated: Stated) -> Iterator[Fault]:
    """Files that are missing, or there and not in the index. A set may be handed on without its bank."""
    for file in stated.files:
        if not os.path.lexists(out / file.name):
            if file.name != layout.BANK:
                yield Fault(file.name, "is missing")
        elif not layout.is_own_file(out, file.name):
            yield Fault(file.name, "is a link" if (out / file.name).is_symlink() else "is no file")
    known = {layout.INDEX, layout.STATE, *(file.name for file in stated.files)}
    markers = {marker_name(file.name) for file in stated.shards}
    kept = {layout.IDENTITY, layout.SOURCES, f"{layout.STATE}/lock", *markers}
    for path in sorted(out.iterdir()):
        if path.name not in known:
            yield Fault(path.name, f"is not in {layout.INDEX}")
    state = out / layout.STATE
    if state.is_symlink():
        yield Fault(layout.STATE, "is a link")
    for path in sorted(state.iterdir()) if state.is_dir() and not state.is_symlink() else ():
        if str(path.relative_to(out)) not in kept:
            yield Fault(str(path.relative_to(out)), "is left over, or of no build")


def content_faults(out: Path, file: File) -> Iterator[str]:
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


def origin_faults(out: Path, stated: Stated, bank: Bank | None) -> Iterator[Fault]:
    """Where the lock, if the set has one, is not that of its index or of its bank."""
    if not layout.is_own_file(out, layout.LOCK):
        return
    try:
        lock = read_lock(out / layout.LOCK)
    except UserError as error:
        yield Fault(layout.LOCK, str(error).removeprefix(f"{out / layout.LOCK}"))
        return
    for source in stated.sources:
        lines = lines_of(str(source.get("name")), lock.get(str(source.get("name")), {}))
        if source.get("sha256") not in (None, hashlib.sha256(lines.encode()).hexdigest()):
            yield Fault(layout.LOCK, f"its lines of {source.get('name')} are not those that {layout.INDEX} tells of")
    foreign = foreign_files(bank, lock) if bank else []
    if foreign:
        what = f"does not hold as they were {len(foreign)} files that cells were cut from, such as {foreign[0]}"
        yield Fault(layout.LOCK, what)


def read_bank(out: Path, stated: Stated, given: Path | None) -> tuple[Bank | None, list[Fault]]:
    """The bank, None where there is none that can be used, and what is wrong with the set's own.

    Raises UserError where the `given` one cannot be read or is not the one that the set was drawn from.
    """
    faults, bank = [], None
    if layout.is_own_file(out, layout.BANK):
        bank, what = _load(out / layout.BANK, stated)
        faults = [Fault(layout.BANK, what)] if what else []
    if given is not None:
        bank, what = _load(given, stated)
        if what:
            raise UserError(f"{given}: {what}")
    return bank, faults


def _load(path: Path, stated: Stated) -> tuple[Bank | None, str]:
    """The bank in a file, or what is wrong with it. It is tried in another process before this one opens it."""
    [told] = in_order(_try, [path], workers=1, tick=lambda _: None)
    if isinstance(told, Died):
        told = f"cannot be read as a bank: {told.how}"
    if told:
        return None, told
    bank = load_bank(path)
    if bank.digest != stated.bank_digest:
        return None, f"its digest is {bank.digest}, and the set was drawn from {stated.bank_digest}: another bank"
    return bank, ""


def _try(path: Path, tick: Tick) -> str:
    """What is wrong with a bank, "" where it can be loaded."""
    tick(0)
    try:
        load_bank(path)
    except UserError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""


def count_faults(told: Split, split: str, records: Sequence[ShardRecord], bank: Bank | None) -> Iterator[Fault]:
    """Where what the index has told of a split is not what `records` of all its shards hold.

    Without a bank, and so without sources, only the sums over the sources are held against the objects. `dropped` is
    in no shard, and `area` in no index of an earlier smearsynth.
    """
    due = count_split(records) | (count_sources(records, bank, split) if bank else _summed(told))
    untold = {"dropped", *(() if told.area else ("area",))}
    for path, there, found in differences(told.model_dump(exclude=untold), {**due, **dict.fromkeys(untold)}):
        yield _fault(f"{split}.{path} is", there, found)
    if bank is None:
        objects = {c.key: sum(told.class_by_source.get(c.key, {}).values()) for c in CLASSES[1:]}
        for path, there, found in differences(objects, due["objects"]):
            yield _fault(f"{split}.class_by_source.{path} adds up to", there, found)


def _fault(what: str, there: object, found: object) -> Fault:
    return Fault(layout.INDEX, f"splits.{what} {shown(there)}, and the shards hold {shown(found)}")


def _summed(told: Split) -> dict[str, object]:
    return told.model_dump(include={"class_by_source", "cells", "area", "assembled"})


def kept_faults(out: Path, stated: Stated, records: Mapping[str, ShardRecord]) -> Iterator[Fault]:
    """Where the resolved recipe and the notes of the build, as far as they are there, are not those of the index.

    records: of the shards that could be read, by name.
    """
    if not layout.is_own_file(out, layout.RECIPE):
        return
    try:
        recipe = read_resolved(out / layout.RECIPE)
        identity = replace(
            Identity.of(recipe, stated.bank_digest),
            format_version=stated.format_version,
            generator_version=stated.generator_version,
        )
        yield from _recipe_faults(recipe, identity, stated)
    except DocumentError as error:
        yield from (Fault(layout.RECIPE, fault.sentence) for fault in error.faults)
    except (LookupError, TypeError, AttributeError):
        yield Fault(layout.RECIPE, "is no resolved recipe")
    else:
        yield from _state_faults(out, stated, identity, records)


def _recipe_faults(recipe: Mapping[str, Any], identity: Identity, stated: Stated) -> Iterator[Fault]:
    if identity.recipe_hash != stated.recipe_hash:
        what = f"its hash is {identity.recipe_hash}, and `recipe_hash` {stated.recipe_hash} in {layout.INDEX}"
        yield Fault(layout.RECIPE, what)
    asked = {key: recipe[key] for key in ("name", "size", "count")}
    asked["looks"] = [look["name"] for look in recipe["looks"]]
    told: dict[str, Any] = {
        "name": stated.name,
        "size": list(stated.size),
        "count": {split: part.scenes for split, part in stated.splits.items()},
        "looks": list(stated.looks),
    }
    if stated.publish is not None:
        asked |= {
            "publish": recipe["publish"],
            "about": recipe["about"],
            "claim": claim(recipe["frozen"], stated.model_dump()),
        }
        told |= {"publish": stated.publish, "about": stated.about, "claim": stated.claim}
    for path, there, due in differences(asked, told):
        yield Fault(layout.RECIPE, f"{path} is {shown(there)}, and {shown(due)} in {layout.INDEX}")


def _state_faults(out: Path, stated: Stated, identity: Identity, records: Mapping[str, ShardRecord]) -> Iterator[Fault]:
    """Files of `.smearsynth` that are not byte for byte what a build of this set writes.

    Also where `dropped`, which the markers alone tell per shard, does not add up to the index.
    """
    due: dict[str, Any] = {layout.IDENTITY: vars(identity), layout.SOURCES: list(stated.sources)}
    dropped = dict.fromkeys(SPLITS, 0)
    for name, record in records.items():
        told = _told(out / marker_name(name))
        dropped[record.split] += told["dropped"]
        unseen = {key: told[key] for key in told if key == "dropped" or not record.class_by_source[0]}
        due[marker_name(name)] = marker(replace(record, **unseen), identity.hash())
    there = {name: value for name, value in due.items() if layout.is_own_file(out, name)}
    strange = [name for name, value in there.items() if not _holds(out / name, value)]
    yield from (Fault(name, "is not what a build of this set writes") for name in strange)
    if {marker_name(file.name) for file in stated.shards} <= there.keys() - strange:
        for split, there, found in differences({s: part.dropped for s, part in stated.splits.items()}, dropped):
            yield Fault(layout.INDEX, f"splits.{split}.dropped is {there}, and the markers of its shards say {found}")


def _holds(path: Path, value: Any) -> bool:
    if path.stat().st_size > MOST_BYTES:
        return False
    return layout.is_json_text(value, path.read_bytes().decode(errors="replace"))


def _told(path: Path) -> dict[str, Any]:
    """What a marker says that a shard does not show: `dropped`, and without a bank `class_by_source`."""
    try:
        told, _ = json_values.read_json(path, MOST_BYTES)
        return {"dropped": int(told["record"]["dropped"]), "class_by_source": told["record"]["class_by_source"]}
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return {"dropped": 0, "class_by_source": ()}
