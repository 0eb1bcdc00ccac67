"""The folder of an export: nothing in it has its name before all of it is whole.

Work goes on in `.smearsynth/export` inside the folder, which may be a mount of its own; `export.json` gets its name
last. What a killed export left is replaced by the next one, and a finished one only if that is asked for.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smearsynth.dataset import layout
from smearsynth.errors import UserError

FACTS = "export.json"
README = "README.md"
CARD = "dataset-card.md"
_UNFINISHED = f"{layout.STATE}/export"
_OURS = re.compile(
    r"export\.json|README\.md|dataset-card\.md|preview\.png|annotations|\.smearsynth|(train|val|test)(-\d{6}\.tar)?"
)
"""All that an export writes at the top of its folder."""


def check_target(out: Path, dataset: Path, *, overwrite: bool) -> None:
    """UserError where an export may not write to `out`; touches nothing."""
    layout.check_place(out)
    if dataset.resolve() in out.resolve().parents:
        raise UserError(f"{out} lies in the dataset itself, whose files are sealed: give a folder elsewhere by --out.")
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if not names:
        return
    finished = FACTS in names
    if not (finished or (out / _UNFINISHED).is_dir()):
        raise UserError(f"{out} is not empty and no export made it, so it is left alone: give another --out.")
    if strange := [name for name in names if not _OURS.fullmatch(name)]:
        raise UserError(f"{out} holds {strange[0]}, which no export made: move it away, or give another --out.")
    if finished and not overwrite:
        raise UserError(f"{out} holds an export: give --overwrite to replace it, or another --out.")


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """A new folder to write to. What it holds replaces all of `out` if the block ends well; if not, it is deleted.

    The caller has asked `check_target`.
    """
    new = not out.exists()
    with layout.locked(out, work="export"):
        work = out / _UNFINISHED
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
            _publish(work, out)
        finally:
            shutil.rmtree(out / layout.STATE)
            if new and not any(out.iterdir()):
                out.rmdir()


def _publish(work: Path, out: Path) -> None:
    os.sync()  # once for all, for an export may have a million files
    for path in sorted(out.iterdir(), key=lambda path: path.name != FACTS):
        if path.name != layout.STATE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in sorted(work.iterdir(), key=lambda path: path.name == FACTS):
        path.rename(out / path.name)
