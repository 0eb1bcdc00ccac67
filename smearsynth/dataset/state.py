"""How far a build came, and whether another may go on with it.

A finished shard has a marker, bound by a hash to all that decides its samples. A marker that cannot be read,
or that does not fit its shard, is no marker: the shard is built again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smearsynth.dataset import layout
from smearsynth.dataset.record import ShardRecord, file_digest
from smearsynth.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Identity:
    """All that decides the samples of a set, and how they are cut into files.

    settings: the recipe's keys that enter recipe_hash.
    """

    recipe_hash: str
    bank_digest: str
    generator_version: int
    format_version: int
    scenes_per_shard: int
    codec: str
    settings: dict[str, Any]

    def hash(self) -> str:
        """sha256, hex."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def check_same(out: Path, identity: Identity) -> None:
    """UserError that names every difference between `identity` and the build that `out` holds."""
    path = out / layout.STATE / layout.IDENTITY
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        differences = _differences(old, json.loads(json.dumps(asdict(identity))))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}), so nothing can be resumed: --overwrite it.") from error
    plain = [line for line in differences if not line.startswith("recipe_hash ")]
    if differences:
        raise UserError(
            f"{out} was built otherwise, so it cannot be resumed: {'; '.join(plain or differences)}. "
            "Restore what differs, give --overwrite to start anew, or another folder by --out."
        )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Leaves that differ: "seed is 0 there and 1 now"."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line for i, pair in enumerate(zip(old, new, strict=True)) for line in _differences(*pair, f"{name}[{i}]")
        ]
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [line for key in keys for line in _differences(old.get(key), new.get(key), f"{name}.{key}")]
    if old == new:
        return []
    return [f"{name.removeprefix('.').removeprefix('settings.')} is {_short(old)} there and {_short(new)} now"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def mark(out: Path, record: ShardRecord, identity_hash: str) -> None:
    """Says that a shard is whole. The shard has its final name already."""
    layout.write_json(out, _marker(record.name), {"identity": identity_hash, "record": asdict(record)})


def finished(out: Path, name: str, identity_hash: str) -> ShardRecord | None:
    """The record of a shard that is whole and of this identity, its file checked bit for bit; else None."""
    try:
        marker = json.loads((out / _marker(name)).read_text(encoding="utf-8"))
        record = ShardRecord.from_json(marker["record"])
        same = marker["identity"] == identity_hash and record.name == name
        whole = (out / name).stat().st_size == record.size and file_digest(out / name) == record.sha256
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if same and whole else None


def check_growing(out: Path, count: Mapping[Any, int]) -> None:
    """UserError where `out` holds more scenes of a split than the `count` that is asked for."""
    for path in sorted((out / layout.STATE).glob("*.h5.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))["record"]
            split, stop = str(record["split"]), int(record["stop"])
        except (ValueError, KeyError, TypeError):
            continue
        if stop > count.get(split, 0):
            raise UserError(
                f"{out} holds {stop} scenes of {split} or more and only {count.get(split, 0)} are asked for; a set can "
                f"only grow: raise count.{split} or --limit, or give --overwrite."
            )


def _marker(name: str) -> str:
    return f"{layout.STATE}/{name}.json"
