"""The folder of an export: what it says of itself, and how it comes to its place.

Beside the samples stand `README.md`, `export.json`, and the card of the set as `dataset-card.md`. Nothing has its name
before all of it is whole: work goes on in `.smearsynth/export` inside the folder, which may be a mount of its own, and
`export.json` gets its name last. What a killed export left is replaced by the next one, and a finished one only if that
is asked for.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smearsynth.base.errors import UserError
from smearsynth.dataset import layout
from smearsynth.dataset.export.exported_set import ExportedSet, Selection

FACTS = "export.json"
README = "README.md"
CARD = "dataset-card.md"
_UNFINISHED = f"{layout.STATE}/export"
_OURS = re.compile(
    r"export\.json|README\.md|dataset-card\.md|preview\.png|annotations|\.smearsynth|(train|val|test)(-\d{6}\.tar)?|"
    r"data|data\.yaml|images|labels|(images|labels)T[rs]|dataset\.json|splits_final\.json"
)
"""All that an export writes at the top of its folder."""
_NOT_FOR_PUBLICATION = (
    "**Not for publication.** The recipe of this set does not claim that its sources may be handed on. Pass it on only "
    "as far as their licences allow."
)


def check_target(out: Path, dataset: Path, *, overwrite: bool) -> None:
    """UserError where an export may not write to `out`; touches nothing."""
    layout.check_place(out)
    if dataset.resolve() in out.resolve().parents:
        raise UserError(f"{out} lies in the dataset itself, whose files are sealed: name a folder elsewhere", "out")
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if not names:
        return
    finished = FACTS in names
    if not (finished or (out / _UNFINISHED).is_dir()):
        raise UserError(f"{out} is not empty and no export made it, so it is left alone: name another folder", "out")
    if strange := [name for name in names if not _OURS.fullmatch(name)]:
        raise UserError(f"{out} holds {strange[0]}, which no export made: move it away, or name another folder", "out")
    if finished and not overwrite:
        raise UserError(f"{out} holds an export: overwrite it, or name another folder", "overwrite", "out")


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
            os.sync()  # once for all, for an export may have a million files
            for path in sorted(out.iterdir(), key=lambda path: path.name != FACTS):
                if path.name != layout.STATE:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            for path in sorted(work.iterdir(), key=lambda path: path.name == FACTS):
                path.rename(out / path.name)
        finally:
            shutil.rmtree(out / layout.STATE)
            if new and not any(out.iterdir()):
                out.rmdir()


def licences(dataset: ExportedSet) -> list[str]:
    """A line per source of the set: its name, title, licence, and whether it may be redistributed."""
    return [
        f"{source.get('name')}: {source.get('title')}; {source['licence']}; redistribution "
        + str(source.get("redistribution")).replace("_", " ")
        if "licence" in source
        else f"{source.get('name')}: its licence is not recorded in this set"
        for source in dataset.sources
    ]


def write_about(
    work: Path, selection: Selection, format_name: str, reading: str, *, head: str = "", withholds: bool = False
) -> None:
    """All that is written beside the samples. reading: what the format holds and how it is read, "{split}" for the name
    of a split. head: what the README begins with. withholds: neither card nor preview, which tell of labels."""
    dataset, header, splits = selection.dataset, selection.dataset.header, selection.splits()
    for name, copy in ((layout.CARD, CARD), (layout.PREVIEW, layout.PREVIEW)):
        if (dataset.folder / name).is_file() and not withholds:
            shutil.copyfile(dataset.folder / name, work / copy)
    classes = zip(header.class_ids, header.class_keys, header.class_colours, strict=True)
    facts = {
        "format": format_name,
        "dataset": {"name": dataset.name, "digest": dataset.digest, "generator_version": header.generator_version},
        "wanted": {"split": selection.split, "look": selection.look, "limit": selection.limit},
        "samples": splits,
        "classes": [{"id": number, "key": key, "colour": colour} for number, key, colour in classes],
        "looks": list(header.looks),
        "um_per_px": header.um_per_px,
        "publish": dataset.publish,
        "licences": licences(dataset),
    }
    (work / FACTS).write_text(layout.json_text(facts), encoding="utf-8")
    (work / README).write_text(head + _readme(selection, splits, reading, withholds=withholds), encoding="utf-8")


def _readme(selection: Selection, splits: dict[str, int], reading: str, *, withholds: bool) -> str:
    dataset, header = selection.dataset, selection.dataset.header
    counted = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    part = [f"only split {selection.split}"] if selection.split else []
    part += [f"only look {selection.look}"] if selection.look else []
    part += [f"at most {selection.limit:,} of a split"] if selection.limit else []
    classes = ", ".join(f"{number} {key}" for number, key in zip(header.class_ids, header.class_keys, strict=True))
    sections = [
        f"# {dataset.name}",
        f"Blood smears{'' if withholds else ' with exact labels'} at {header.um_per_px} µm per pixel: {counted}"
        f"{' (' + ', '.join(part) + ')' if part else ''}. Exported by smearsynth from the dataset with the digest "
        f"`{dataset.digest}`.",
        "" if dataset.publish else _NOT_FOR_PUBLICATION,
        "## What is here\n\n" + reading.format(split=next(iter(splits))),
        f"Classes: {classes}." + ("" if withholds else " A label of 255: nobody knows."),
        ""
        if dataset.has_objects or withholds
        else "This set knows no single cells: it has neither instances nor objects.",
        "## Sources\n\n" + ("\n".join(f"- {line}" for line in licences(dataset)) or "None is recorded."),
        f"`{CARD}` is the card of the whole dataset."
        if (dataset.folder / layout.CARD).is_file() and not withholds
        else "",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"
