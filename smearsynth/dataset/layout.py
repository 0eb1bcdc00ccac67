"""The files of a dataset, and who may write them.

train-00000.h5 ...            shards, numbered within their split
index.json                    written last: its presence says that the set is whole
recipe.resolved.yaml          the recipe with every default spelled out
cells.h5                      the bank
sources.lock                  relative path and sha256 of every source file used
README.md, preview.png        the card
croissant.json                the card for programs
.smearsynth/identity.json     what decides the samples
.smearsynth/sources.json      what is known of the sources, for the index of a resumed build
.smearsynth/NAME.json         one marker per finished shard
.smearsynth/NAME.ID.part      a file that is being written, by one writer: ID is drawn
.smearsynth/lock              held by whoever may write

What all shards have in common (recipe, bank, identity, index, card) is written by whoever holds the lock alone. Shards
are built by any number of processes that hold it together, on several machines too. Even of one shard there may be two
builders: each writes the same samples under a name of its own, and the last to be whole gets the shard's name.
"""

import errno
import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from smearsynth.base.errors import UserError
from smearsynth.base.files import published
from smearsynth.recipe.reading import KEPT_LOCK
from smearsynth.taxonomy import SPLITS

INDEX = "index.json"
RECIPE = "recipe.resolved.yaml"
BANK = "cells.h5"
LOCK = KEPT_LOCK
CARD = "README.md"
CROISSANT = "croissant.json"
PREVIEW = "preview.png"
STATE = ".smearsynth"
IDENTITY = f"{STATE}/identity.json"
SOURCES = f"{STATE}/sources.json"

_JSON = json.JSONEncoder(indent=1, sort_keys=True, ensure_ascii=False)
_PATIENCE = 5.0
"""Seconds to wait for the lock: the workers of a build that was killed need a moment to notice."""
PATIENCE_OF_SLICES = 120.0
"""Seconds that one of many builders waits while another writes what all have in common to a slow disk."""
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


def shard_name(split: str, ordinal: int) -> str:
    return f"{split}-{ordinal:05d}.h5"


def is_own_file(out: Path, name: str) -> bool:
    """Whether a file of that name is in the dataset itself; a link can lead anywhere."""
    return (out / name).is_file() and (out / name).resolve() == out.resolve() / name


def shards(out: Path) -> list[Path]:
    """The shard files of a dataset, splits in the order train, val, test, then by number."""
    return [path for split in SPLITS for path in sorted(out.glob(f"{split}-[0-9]*.h5"))]


def check_target(out: Path, *, resume: bool, overwrite: bool) -> None:
    """UserError where a build may not write to `out`; touches nothing."""
    if resume and overwrite:
        raise UserError("a set is either resumed or overwritten: give one of the two", "resume", "overwrite")
    check_place(out)
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (resume or overwrite):
        raise UserError(
            f"{out} is not empty: resume it, overwrite it, or name another folder", "resume", "overwrite", "out"
        )
    if not (out / STATE).is_dir():
        raise UserError(f"{out} is not empty and no build made it, so it is left alone: name another folder", "out")


def check_place(out: Path) -> None:
    """UserError where no folder `out` can be made or written to; touches nothing."""
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise UserError(f"{nearest} is a file: name another folder", "out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{nearest} may not be written to: change its permissions, or name another folder", "out")


def check_outside(file: Path) -> None:
    """UserError where a page or picture about a dataset would be written into one."""
    if shards(file.resolve().parent):
        raise UserError(f"{file} lies in a dataset, whose files are sealed: name a file elsewhere", "out")


@contextmanager
def locked(out: Path, *, shared: bool = False, patience: float | None = None, work: str = "build") -> Iterator[None]:
    """Makes the folder and holds its lock, alone, or `shared` with others who do; processes that are forked inside keep
    it should the parent be killed.

    patience: seconds to wait for it. work: what may hold it, for the message. Raises UserError where it can't be had.
    """
    for path in (out / STATE, out / STATE / "lock"):
        if path.is_symlink():
            raise UserError(f"{path} is a link, and no build makes one: remove it, or name another folder", "out")
    (out / STATE).mkdir(parents=True, exist_ok=True)
    # Over NFS a lock alone needs a file that is open for writing, and a shared one for reading.
    with (out / STATE / "lock").open("a+") as file:
        deadline = time.monotonic() + (_PATIENCE if patience is None else patience)
        while not _try_lock(file.fileno(), fcntl.LOCK_SH if shared else fcntl.LOCK_EX, out):
            if time.monotonic() > deadline:
                raise UserError(f"Another {work} is writing to {out}: wait for it, or stop it.")
            time.sleep(0.05)
        yield


def _try_lock(descriptor: int, kind: int, out: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise UserError(
            f"{out} lies on a file system without locks ({error.strerror}): mount it with them (Lustre: `-o flock`), "
            "or name another folder",
            "out",
        ) from error
    return True


def clear(out: Path) -> None:
    """Deletes what a build made, and no other file. The caller holds the lock."""
    names = (INDEX, RECIPE, BANK, LOCK, CARD, CROISSANT, PREVIEW)
    state = [path for path in (out / STATE).iterdir() if path.name != "lock"]
    for path in (*(out / name for name in names), *shards(out), *state):
        path.unlink(missing_ok=True)


def sweep(out: Path) -> None:
    """Deletes what writers that were killed have left half-written. The caller holds the lock alone."""
    for path in (out / STATE).glob("*.part*"):
        path.unlink()


def written(out: Path, name: str) -> AbstractContextManager[Path]:
    """A place to write the file `name`, as `files.published`: one that no other writer takes, on another machine
    neither.
    """
    return published(out / name, out / STATE / f"{Path(name).name}.{uuid.uuid4().hex}.part")


def write_text(out: Path, name: str, text: str) -> None:
    """Writes a small file, as `written`."""
    with written(out, name) as part:
        part.write_text(text, encoding="utf-8")


def write_json(out: Path, name: str, value: Any) -> None:
    """As `write_text`, with `json_text`."""
    write_text(out, name, json_text(value))


def json_text(value: Any) -> str:
    """JSON with sorted keys, so that equal content gives equal bytes."""
    return _JSON.encode(value) + "\n"
