"""What an export says of itself: `README.md`, `export.json`, and the card of the set as `dataset-card.md`."""

import shutil
from pathlib import Path
from typing import Any

from smearsynth.dataset import layout
from smearsynth.dataset.export.origin import NOT_FOR_PUBLICATION, licences
from smearsynth.dataset.export.samples import Wanted
from smearsynth.dataset.export.target import CARD, FACTS, README


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
