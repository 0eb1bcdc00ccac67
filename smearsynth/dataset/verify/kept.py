"""The recipe of a set, and what its build keeps in `.smearsynth`, against index and shards."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from smearsynth import strict_json
from smearsynth.dataset import layout
from smearsynth.dataset.claim import claim
from smearsynth.dataset.record import ShardRecord
from smearsynth.dataset.state import MOST_BYTES, Identity, marker, marker_name
from smearsynth.dataset.verify.fault import Fault
from smearsynth.dataset.verify.stated import Stated
from smearsynth.differences import differences, shown
from smearsynth.recipe import read_resolved
from smearsynth.strict_yaml import DocumentError
from smearsynth.taxonomy import SPLITS


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
        told, _ = strict_json.read(path, MOST_BYTES)
        return {"dropped": int(told["record"]["dropped"]), "class_by_source": told["record"]["class_by_source"]}
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return {"dropped": 0, "class_by_source": ()}
