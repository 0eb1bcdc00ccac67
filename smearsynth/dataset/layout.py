"""Where everything of a dataset lies, and who may write there.

train-00000.h5 ...            shards, numbered within their split
index.json                    written last: its presence says that the set is whole
recipe.resolved.yaml          the recipe with every default spelled out
cells.h5                      the bank
sources.lock                  relative path and sha256 of every source file used
README.md, preview.png        the card
.smearsynth/identity.json     what decides the samples
.smearsynth/sources.json      what is told of the sources, for the index of a resumed build
.smearsynth/NAME.json         one marker per finished shard
.smearsynth/NAME.part         a shard that is being written
.smearsynth/lock              held by the one build that may write
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smearsynth.errors import UserError
from smearsynth.files import publish
from smearsynth.taxonomy import SPLITS

INDEX = "index.json"
RECIPE = "recipe.resolved.yaml"
BANK = "cells.h5"
LOCK = "sources.lock"
CARD = "README.md"
PREVIEW = "preview.png"
STATE = ".smearsynth"
IDENTITY = f"{STATE}/identity.json"
SOURCES = f"{STATE}/sources.json"

_PATIENCE = 5.0
"""Seconds to wait for the lock: the workers of a build that was killed need a moment to notice."""


def shard_name(split: str, ordinal: int) -> str:
    return f"{split}-{ordinal:05d}.h5"


def shards(out: Path) -> list[Path]:
    """The shard files of a dataset, splits in the order train, val, test, then by number."""
    return [path for split in SPLITS for path in sorted(out.glob(f"{split}-[0-9]*.h5"))]


def check_target(out: Path, *, resume: bool, overwrite: bool) -> None:
    """UserError where a build may not write to `out`; touches nothing."""
    if resume and overwrite:
        raise UserError("--resume and --overwrite exclude each other: give one of them.")
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise UserError(f"{nearest} is a file: give another folder by --out.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{nearest} may not be written to: change its permissions, or give another folder by --out.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (resume or overwrite):
        raise UserError(f"{out} is not empty: give --resume, --overwrite, or another folder by --out.")
    if not (out / STATE).is_dir():
        raise UserError(f"{out} is not empty and no build made it, so it is left alone: give another --out.")


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Makes the folder and holds its lock; processes forked inside hold it on should the parent be killed."""
    (out / STATE).mkdir(parents=True, exist_ok=True)
    with (out / STATE / "lock").open("w") as file:
        deadline = time.monotonic() + _PATIENCE
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise UserError(f"Another build is writing to {out}: wait for it, or stop it.")
            time.sleep(0.05)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def clear(out: Path) -> None:
    """Deletes what a build made, and no other file. The caller holds the lock."""
    names = (INDEX, RECIPE, BANK, LOCK, CARD, PREVIEW)
    state = [path for path in (out / STATE).iterdir() if path.name != "lock"]
    for path in (*(out / name for name in names), *shards(out), *state):
        path.unlink(missing_ok=True)


def write_text(out: Path, name: str, text: str) -> None:
    """Writes a small file so that a reader sees the old one or the whole new one."""
    temporary = out / STATE / f"{Path(name).name}.part"
    temporary.write_text(text, encoding="utf-8")
    publish(temporary, out / name)


def write_json(out: Path, name: str, value: Any) -> None:
    """As `write_text`, with `json_text`."""
    write_text(out, name, json_text(value))


def json_text(value: Any) -> str:
    """JSON with sorted keys, so that equal content gives equal bytes."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
