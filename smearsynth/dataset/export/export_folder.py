"""What an export says of where it comes from, and how far it may go on.

What an export says of itself: `README.md`, `export.json`, and the card of the set as `dataset-card.md`.

The folder of an export: nothing in it has its name before all of it is whole.

Work goes on in `.smearsynth/export` inside the folder, which may be a mount of its own; `export.json` gets its name
last. What a killed export left is replaced by the next one, and a finished one only if that is asked for.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smearsynth.base.errors import UserError
from smearsynth.dataset import layout
from smearsynth.dataset.export.exported_set import Source, Wanted

NOT_FOR_PUBLICATION = (
    "**Not for publication.** The recipe of this set does not claim that its sources may be handed on. Pass it on only "
    "as far as their licences allow."
)


def licences(source: Source) -> list[str]:
    """A line per source of the set: its name, title, licence, and whether it may be redistributed."""
    return [_licence(told) for told in source.sources]


def _licence(told: dict[str, object]) -> str:
    if "licence" not in told:
        return f"{told.get('name')}: its licence is not recorded in this set"
    redistribution = str(told.get("redistribution")).replace("_", " ")
    return f"{told.get('name')}: {told.get('title')}; {told['licence']}; redistribution {redistribution}"


def write_about(work: Path, wanted: Wanted, form: str, reading: str) -> None:
    """All that is written beside the samples. reading: what the format holds and how it is read, "{split}" for the name
    of a split."""
    folder, splits = wanted.source.folder, wanted.splits()
    for name, copy in ((layout.CARD, CARD), (layout.PREVIEW, layout.PREVIEW)):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, work / copy)
    (work / FACTS).write_text(layout.json_text(_facts(wanted, form, splits)), encoding="utf-8")
    (work / README).write_text(_readme(wanted, splits, reading), encoding="utf-8")


def _facts(wanted: Wanted, form: str, splits: dict[str, int]) -> dict[str, Any]:
    source, header = wanted.source, wanted.source.header
    classes = zip(header.class_ids, header.class_keys, header.class_colours, strict=True)
    return {
        "format": form,
        "dataset": {"name": source.name, "digest": source.digest, "generator_version": header.generator_version},
        "wanted": {"split": wanted.split, "look": wanted.look, "limit": wanted.limit},
        "samples": splits,
        "classes": [{"id": number, "key": key, "colour": colour} for number, key, colour in classes],
        "looks": list(header.looks),
        "um_per_px": header.um_per_px,
        "publish": source.publish,
        "licences": licences(source),
    }


def _readme(wanted: Wanted, splits: dict[str, int], reading: str) -> str:
    source, header = wanted.source, wanted.source.header
    counted = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    classes = ", ".join(f"{number} {key}" for number, key in zip(header.class_ids, header.class_keys, strict=True))
    card = (source.folder / layout.CARD).is_file()
    sections = [
        f"# {source.name}",
        f"Blood smears with exact labels at {header.um_per_px} µm per pixel: {counted}{_part(wanted)}. Exported by "
        f"smearsynth from the dataset with the digest `{source.digest}`.",
        "" if source.publish else NOT_FOR_PUBLICATION,
        "## What is here\n\n" + reading.format(split=next(iter(splits))),
        f"Classes: {classes}. A label of 255: nobody knows.",
        "" if source.whole else "This set knows no single cells: it has neither instances nor objects.",
        "## Sources\n\n" + ("\n".join(f"- {line}" for line in licences(source)) or "None is recorded."),
        f"`{CARD}` is the card of the whole dataset." if card else "",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _part(wanted: Wanted) -> str:
    parts = [f"only split {wanted.split}"] if wanted.split else []
    parts += [f"only look {wanted.look}"] if wanted.look else []
    parts += [f"at most {wanted.limit:,} of a split"] if wanted.limit else []
    return f" ({', '.join(parts)})" if parts else ""


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
