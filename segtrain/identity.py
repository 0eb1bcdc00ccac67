"""What a checkpoint belongs to: the config that decides its weights, and the data that they are trained on."""

from typing import Any

from segtrain.config import Config
from segtrain.data.samples import Classes
from segtrain.parts import Parts
from smearsynth.differences import differences, shown
from smearsynth.errors import UserError

Identity = dict[str, Any]


def identity(config: Config, parts: Parts) -> Identity:
    """Plain data, for the checkpoint."""
    shards = parts.shards
    classes = shards.classes
    return {
        "config": config.deciding(),
        "config_hash": config.digest(),
        "data_digest": shards.digest,
        "fold_digest": parts.fold_digest,
        "classes": {"ids": classes.ids, "keys": classes.keys, "colours": classes.colours},
        "um_per_px": shards.um_per_px,
    }


def classes_of(known: Identity) -> Classes:
    """The taxonomy that a checkpoint was trained on."""
    return Classes(**known["classes"])


def check_unchanged(before: Identity, now: Identity, run: str) -> None:
    """UserError, naming what differs, where a run would go on as another one."""
    try:
        found = differences(before["config"], now["config"])
        lines = [f"{d.path}: {shown(d.old)}, now {shown(d.new)}" for d in found]
        if before["data_digest"] != now["data_digest"]:
            lines.append(f"the dataset: digest {before['data_digest'][:12]}, now {now['data_digest'][:12]}")
        if before.get("fold_digest", "") != now["fold_digest"]:
            lines.append("division into folds")
    except (AttributeError, KeyError, TypeError):
        raise UserError(f"{run}: its checkpoint does not say what it belongs to; use a new --run.") from None
    if lines:
        changed = "; ".join(lines)
        raise UserError(
            f"{run} cannot be resumed, for this has changed since it began: {changed}; put it back, or use a new --run."
        )
