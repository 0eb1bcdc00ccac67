"""`README.md` of a dataset in Markdown, a pure function of its index. What a recipe says in it stays text."""

from collections.abc import Iterable, Sequence
from typing import Any

from smearsynth.dataset import facts, layout
from smearsynth.dataset.index import Index, claim_of
from smearsynth.shards.format import OBJECT_COLUMNS
from smearsynth.taxonomy import CLASSES, SPLITS

_EXAMPLE = """\
```python
import h5py
with h5py.File("train-00000.h5") as shard:
    image, label = shard["image"][0], shard["label"][0]    # (H, W, 3) and (H, W), both uint8
    cells = shard["objects"][0][: shard["object_count"][0]]
    print(shard["sample_id"][0], shard.attrs["class_keys"], cells[:, 0])
```"""


def make_card(index: Index) -> str:
    """Markdown. `files` of the index holds the shards, the lock if there is one, and whatever else."""
    warning = facts.warning(index)
    sections = [
        f"# {index['name']}",
        facts.summary(index),
        f"![Smears beside their labels]({layout.PREVIEW})",
        f"**{warning}**" if warning else "",
        "## Splits\n\n" + _splits(index),
        "## Sources\n\n" + _sources(index),
        "## Objects of each class by source\n\n" + "\n\n".join(_by_source(index, split) for split in SPLITS),
        "## Refused cells\n\n" + _refusals(index),
        "## How labels are made\n\n" + facts.labels(index),
        "## Known limits\n\n" + _list(facts.limits(index)),
        "## Reading a shard\n\n" + _EXAMPLE,
        "## Columns of `objects`\n\n" + _columns(index),
        "## How to cite\n\n" + _citation(index),
        "## How to rebuild\n\n" + _list(facts.rebuilding(index)),
        "## Identity\n\n" + _identity(index),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return _line(text).replace("|", "\\|")


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {_line(sentence)}" for sentence in sentences)


def _line(text: str) -> str:
    """What somebody wrote in a recipe, as text that ends where it should: no line of it begins a part of the card."""
    return " ".join(text.split()).replace("<", "&lt;")


def _columns(index: Index) -> str:
    rows = [(f"`{name}`", *OBJECT_COLUMNS.get(name, ("", ""))) for name in index["fields"]]
    return _table(["column", "unit", "meaning"], rows)


def _splits(index: Index) -> str:
    splits = index["splits"]
    pixels = {split: max(1, sum(splits[split]["pixels"].values())) for split in SPLITS}
    rows: list[list[Any]] = [
        ["smears", *(splits[s]["samples"] for s in SPLITS)],
        ["combinations met", *(len(splits[s]["combinations"]) for s in SPLITS)],
        ["cells left out, too little visible", *(splits[s]["dropped"] for s in SPLITS)],
    ]
    for c in CLASSES:
        share = [f"{splits[s]['pixels'][c.key] / pixels[s]:.2%}" for s in SPLITS]
        if c.id:
            share = [f"{splits[s]['objects'][c.key]:,} ({p})" for s, p in zip(SPLITS, share, strict=True)]
        rows.append([f"{c.id} {c.name}", *share])
    note = (
        "Classes: objects, with their share of the pixels. "
        "No source image, known patient or duplicate is in two splits."
    )
    return f"{_table(['', *SPLITS], rows)}\n\n{note}"


def _sources(index: Index) -> str:
    known = facts.known_sources(index)
    if not known:
        return facts.origin(index)
    rows = [
        [
            s["name"],
            s["title"],
            s.get("version") or "not stated",
            s["licence"],
            s["redistribution"].replace("_", " "),
            facts.um_per_px(s),
            s["cite"],
        ]
        for s in known
    ]
    table = _table(["name", "title", "version", "licence", "redistribution", "µm/px", "cite"], rows)
    parts = [table, _list(facts.grouping(s) for s in known), _read(known), facts.origin(index)]
    return "\n\n".join(part for part in parts if part)


def _read(sources: Sequence[facts.SourceFacts]) -> str:
    rows = [[s["name"], s["files"], f"`{s['sha256']}`"] for s in sources if "sha256" in s]
    if not rows:
        return ""
    note = f"sha256: over the lines of {layout.LOCK} that name the source's files, each with the file's own sha256."
    return f"What was read:\n\n{_table(['source', 'files', 'sha256'], rows)}\n\n{note}"


def _by_source(index: Index, split: str) -> str:
    names = [s["name"] for s in index["sources"]]
    part = index["splits"][split]
    rows = [
        [c.name, *(_of(part, c.key, name) for name in names)]
        for c in CLASSES[1:]
        if part["cells"][c.key] or part["class_by_source"][c.key]
    ]
    note = "objects in the smears, and in brackets the different cells they are drawn from"
    return f"{split} ({note}):\n\n{_table(['', *names], rows)}"


def _of(part: dict[str, Any], key: str, name: str) -> str:
    objects, cells = (part[table][key].get(name, 0) for table in ("class_by_source", "cells"))
    return f"{objects:,} ({cells:,})" if cells or objects else ""


def _refusals(index: Index) -> str:
    rows = facts.refusals(index)
    return _table(["source", "class", "reason", "cells"], rows) if rows else "None is known."


def _citation(index: Index) -> str:
    works = facts.works(index)
    too = "\n\nAnd the works that the cells are from:\n\n" + _list(works) if works else ""
    return f"```bibtex\n{facts.citation(index)}\n```{too}"


def _identity(index: Index) -> str:
    rows = [[name, f"`{value}`" if isinstance(value, str) else value] for name, value in facts.identity(index)]
    return "\n\n".join(part for part in (_table(["", ""], rows), claim_of(index)) if part)
