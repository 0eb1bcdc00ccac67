"""How far a build came, and whether another may go on with it.

A finished shard has a marker, bound by a hash to its own content and to all that decides the shard's samples. A
marker that was changed, or that does not fit its shard, is no marker: the shard is built again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from smearsynth.base import json_values
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest
from smearsynth.base.json_values import differences, shown
from smearsynth.dataset import layout
from smearsynth.dataset.index import ShardRecord
from smearsynth.recipe.model import sample_settings, settings_hash
from smearsynth.shards.format import GENERATOR_VERSION

MOST_BYTES = 10_000_000
"""Of a file in `.smearsynth`, which has some ten thousand."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """All that decides the samples of a set, and how they are cut into files.

    settings: the recipe's keys that enter recipe_hash.
    """

    recipe_hash: str
    bank_digest: str
    generator_version: int
    format_version: int
    settings: dict[str, Any]
    shards: dict[str, Any]

    @classmethod
    def of(cls, recipe: Mapping[str, Any], bank_digest: str, format_version: int) -> Self:
        """The identity of what this version builds of a recipe, resolved and plain, and a bank."""
        settings = sample_settings(recipe)
        return cls(
            recipe_hash=settings_hash(settings),
            bank_digest=bank_digest,
            generator_version=GENERATOR_VERSION,
            format_version=format_version,
            settings=settings,
            shards=recipe["shards"],
        )

    @property
    def hash(self) -> str:
        """sha256, hex."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def check_same(out: Path, identity: Identity) -> None:
    """UserError that names every difference between `identity` and the build that `out` holds."""
    path = out / layout.IDENTITY
    try:
        old, _ = json_values.read_json(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}), so nothing can be resumed: overwrite it", "overwrite"
        ) from error
    found = differences(old, json.loads(json.dumps(asdict(identity))))
    if len(found) > 1:
        found = [d for d in found if d.path != "recipe_hash"]
    if found:
        all_found = "; ".join(
            f"{d.path.removeprefix('settings.')} is {shown(d.old)} there and {shown(d.new)} now" for d in found
        )
        raise UserError(
            f"{out} was built otherwise, so it cannot be resumed: {all_found}. Restore what differs, overwrite it to "
            "start anew, or name another folder",
            "overwrite",
            "out",
        )


def mark(out: Path, record: ShardRecord, identity_hash: str) -> None:
    """Writes the marker of a shard, which says that it is whole. The shard has its final name already."""
    layout.write_json(out, marker_name(record.name), marker(record, identity_hash))


def marker(record: ShardRecord, identity_hash: str) -> dict[str, Any]:
    """What the marker of a shard holds."""
    values = asdict(record)
    return {"record": values, "seal": _seal(values, identity_hash)}


def finished(out: Path, name: str, identity_hash: str) -> ShardRecord | None:
    """The record of a shard that is whole and of this identity, its file checked bit for bit; else None."""
    record = marked(out, name, identity_hash)
    try:
        whole = record and (out / name).stat().st_size == record.size and file_digest(out / name) == record.sha256
    except OSError:
        return None
    return record if whole else None


def marked(out: Path, name: str, identity_hash: str) -> ShardRecord | None:
    """The record in the marker of a shard of this identity, whatever its file holds; else None."""
    record = _read_record(out / marker_name(name), identity_hash)
    return ShardRecord.from_json(record) if record is not None and record["name"] == name else None


def check_growing(out: Path, count: Mapping[Any, int], identity_hash: str) -> None:
    """UserError where `out` holds more scenes of a split than the `count` that is asked for."""
    for path in sorted((out / layout.STATE).glob("*.h5.json")):
        record = _read_record(path, identity_hash)
        if record and record["stop"] > count.get(record["split"], 0):
            split, stop = record["split"], record["stop"]
            raise UserError(
                f"{out} holds {stop} scenes of {split} or more and only {count.get(split, 0)} are asked for; a set can "
                f"only grow: raise count.{split} or the limit, or overwrite it",
                "limit",
                "overwrite",
            )


def _read_record(path: Path, identity_hash: str) -> dict[str, Any] | None:
    """The record in a marker as it was written for this identity; None where the marker is not that."""
    try:
        marker, _ = json_values.read_json(path, MOST_BYTES)
        record, seal = marker["record"], marker["seal"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return record if seal == _seal(record, identity_hash) else None


def _seal(record: Any, identity_hash: str) -> str:
    """Binds a record to its identity, and shows when a byte of it has changed since."""
    return hashlib.sha256(json.dumps([identity_hash, record], sort_keys=True).encode()).hexdigest()


def marker_name(name: str) -> str:
    """Where the marker of a shard lies."""
    return f"{layout.STATE}/{name}.json"
