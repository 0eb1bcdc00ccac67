"""`README.md` of a dataset, a pure function of its index."""

from collections.abc import Iterable, Sequence
from typing import Any

from smearsynth.dataset import layout
from smearsynth.dataset.index import Index
from smearsynth.taxonomy import CLASSES, SPLITS

_LABELS = """\
Single cells are cut out of the sources, brought to {um} µm per pixel and composited; the label map is made with the
picture and not from it. A pixel belongs to the highest cell whose mask there is at least half opaque, and a cell's mask
ends half-way between glass and rim, in every source alike. A cell of which too little shows is left out, picture and
label alike. Label 0 is background; `instance` is 0 or 1 + the row of `objects` that says which cell lies there, and
how."""

_READ = """\
```python
import h5py
with h5py.File("train-00000.h5") as shard:
    image, label = shard["image"][0], shard["label"][0]    # (H, W, 3) and (H, W), both uint8
    cells = shard["objects"][0][: shard["object_count"][0]]
    print(shard["sample_id"][0], shard.attrs["class_keys"], cells[:, 0])
```"""


def make_card(index: Index, *, publish: bool) -> str:
    """Markdown."""
    height, width = index["size"]
    sections = [
        f"# {index['name']}",
        f"{index['samples']:,} synthetic blood smears of {width}x{height} px at {index['um_per_px']} µm per pixel with "
        f"exact labels of ten classes, composited by smearsynth from single cells; looks: {', '.join(index['looks'])}.",
        f"![Smears beside their labels]({layout.PREVIEW})",
        _warning(publish),
        "## Splits\n\n" + _splits(index),
        "## Sources\n\n" + _sources(index["sources"]),
        "## Objects of each class by source\n\n" + "\n\n".join(_by_source(index, split) for split in SPLITS),
        "## Refused cells\n\n" + _refusals(index["sources"]),
        "## How labels are made\n\n" + _LABELS.format(um=index["um_per_px"]),
        "## Reading a shard\n\n" + _READ,
        "## Identity\n\n" + _identity(index),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _warning(publish: bool) -> str:
    if publish:
        return ""
    return (
        "**Not for publication.** The recipe does not claim that its sources may be handed on. Pass this set on only "
        f"as far as the licences below allow, and without `{layout.BANK}`, which holds the cells themselves."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


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


def _sources(sources: Sequence[dict[str, Any]]) -> str:
    known = [s for s in sources if "title" in s]
    names = ", ".join(s["name"] for s in sources)
    if not known:
        return f"The set was built from a ready bank of cells; its sources are {names}."
    rows = [
        [s["name"], s["title"], s["licence"], s["redistribution"].replace("_", " "), f"{s['um_per_px']:.4f}", s["cite"]]
        for s in known
    ]
    table = _table(["name", "title", "licence", "redistribution", "µm/px", "cite"], rows)
    return "\n".join([table, "", *(_grouping(s) for s in known)])


def _grouping(source: dict[str, Any]) -> str:
    if source["patients_known"]:
        return f"- {source['name']}: cells are split by {source['grouping']}; no patient is in two splits."
    return (
        f"- {source['name']}: patients are unknown and only the {source['grouping']} could be the group, so cells of "
        "one patient may be in two splits."
    )


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


def _refusals(sources: Sequence[dict[str, Any]]) -> str:
    rows = [
        [s["name"], c.key, reason, count]
        for s in sources
        for c in CLASSES[1:]
        for reason, count in sorted(s.get("refused", {}).get(c.key, {}).items())
    ]
    return _table(["source", "class", "reason", "cells"], rows) if rows else "None is known."


def _identity(index: Index) -> str:
    rows = [
        ["dataset digest", f"`{index['digest']}`"],
        ["recipe hash", f"`{index['recipe_hash']}`"],
        ["bank digest", f"`{index['bank_digest']}`"],
        ["generator version", index["generator_version"]],
        ["format version", index["format_version"]],
    ]
    note = "`smearsynth build recipe.resolved.yaml --bank cells.h5` gives this dataset digest again on any machine."
    return f"{_table(['', ''], rows)}\n\n{note}"
