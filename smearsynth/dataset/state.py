"""How far a build came, and whether another may go on with it.

A finished shard has a marker, bound by a hash to its own content and to all that decides the shard's samples. A
marker that was changed, or that does not fit its shard, is no marker: the shard is built again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smearsynth.dataset import layout
from smearsynth.dataset.record import ShardRecord
from smearsynth.errors import UserError
from smearsynth.files import file_digest


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

    def hash(self) -> str:
        """sha256, hex."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def check_same(out: Path, identity: Identity) -> None:
    """UserError that names every difference between `identity` and the build that `out` holds."""
    path = out / layout.IDENTITY
    try:
        old = _leaves(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}), so nothing can be resumed: --overwrite it.") from error
    new = _leaves(json.loads(json.dumps(asdict(identity))))
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    if len(keys) > 1 and "recipe_hash" in keys:
        keys.remove("recipe_hash")
    if keys:
        told = "; ".join(f"{key} is {_short(old.get(key))} there and {_short(new.get(key))} now" for key in keys)
        raise UserError(
            f"{out} was built otherwise, so it cannot be resumed: {told}. Restore what differs, give --overwrite to "
            "start anew, or another folder by --out."
        )


def _leaves(value: Any, name: str = "") -> dict[str, Any]:
    """Every plain value in nested mappings and lists by its path, such as `looks[0].name`."""
    if isinstance(value, dict):
        inner = [(f"{name}.{key}", child) for key, child in value.items()]
    elif isinstance(value, list):
        inner = [(f"{name}[{i}]", child) for i, child in enumerate(value)]
    else:
        return {name.removeprefix(".").removeprefix("settings."): value}
    return {path: leaf for path, child in inner for path, leaf in _leaves(child, path).items()}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def mark(out: Path, record: ShardRecord, identity_hash: str) -> None:
    """Says that a shard is whole. The shard has its final name already."""
    told = asdict(record)
    layout.write_json(out, _marker(record.name), {"record": told, "seal": _seal(told, identity_hash)})


def finished(out: Path, name: str, identity_hash: str) -> ShardRecord | None:
    """The record of a shard that is whole and of this identity, its file checked bit for bit; else None."""
    told = _told(out / _marker(name), identity_hash)
    if told is None or told["name"] != name:
        return None
    record = ShardRecord.from_json(told)
    try:
        whole = (out / name).stat().st_size == record.size and file_digest(out / name) == record.sha256
    except OSError:
        return None
    return record if whole else None


def check_growing(out: Path, count: Mapping[Any, int], identity_hash: str) -> None:
    """UserError where `out` holds more scenes of a split than the `count` that is asked for."""
    for path in sorted((out / layout.STATE).glob("*.h5.json")):
        told = _told(path, identity_hash)
        if told and told["stop"] > count.get(told["split"], 0):
            split, stop = told["split"], told["stop"]
            raise UserError(
                f"{out} holds {stop} scenes of {split} or more and only {count.get(split, 0)} are asked for; a set can "
                f"only grow: raise count.{split} or --limit, or give --overwrite."
            )


def _told(path: Path, identity_hash: str) -> dict[str, Any] | None:
    """The record in a marker as it was written for this identity; None where the marker is not that."""
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
        told, seal = marker["record"], marker["seal"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return told if seal == _seal(told, identity_hash) else None


def _seal(told: Any, identity_hash: str) -> str:
    """Binds a record to its identity, and shows when a byte of it has changed since."""
    return hashlib.sha256(json.dumps([identity_hash, told], sort_keys=True).encode()).hexdigest()


def _marker(name: str) -> str:
    return f"{layout.STATE}/{name}.json"
