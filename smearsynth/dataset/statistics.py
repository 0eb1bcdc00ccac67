"""All figures of a built dataset: measured in its shards, compared with its index, and printed as tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smearsynth.bank.quality_gate import refusal_table
from smearsynth.base.command_line import columns
from smearsynth.base.errors import UserError, printable
from smearsynth.dataset import layout
from smearsynth.dataset.distributions import (
    STEPS,
    LookColours,
    ObjectDistributions,
    Quantiles,
    SampledColours,
    read_colours,
    read_objects,
)
from smearsynth.dataset.index_schema import IndexSchema, IndexSource, load_index
from smearsynth.recipe.scene_options import COMBINATIONS
from smearsynth.taxonomy import CLASSES, SPLITS

_MISSING_NAMED = 5
"""Combinations that are named where not all were met."""


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """area: the taxonomy's mean, px. size: of the whole cells as placed, px. visible: share of each that shows; whole:
    share of the cells that show entirely. None where there is no cell. Over scenes.
    """

    area: int
    size: Quantiles | None
    visible: Quantiles | None
    whole: float | None


@dataclass(frozen=True, kw_only=True)
class Stats:
    """What a set holds; printed, as tables.

    splits: as in the index (see `dataset.index`), counts over samples, and `unused`, cells of the bank that are in no
    smear, per class. classes: by key. objects, coverage: per smear, how many cells, and the share of its pixels that
    are of one. colours: by look. refused, files_left_out: per source, so far as the index knows.
    """

    name: str
    digest: str
    size: tuple[int, int]
    um_per_px: float
    looks: tuple[str, ...]
    samples: int
    scenes: int
    splits: dict[str, dict[str, Any]]
    classes: dict[str, ClassFigures]
    objects: Quantiles | None
    coverage: Quantiles | None
    colours: dict[str, LookColours]
    refused: dict[str, dict[str, dict[str, int]]]
    files_left_out: dict[str, dict[str, int]]

    def __str__(self) -> str:
        text = "\n\n".join(part for part in _tables(self) if part)
        return "\n".join(printable(line) for line in text.split("\n"))


@dataclass(frozen=True, kw_only=True)
class DatasetMeasurements:
    """A dataset as it was read: its index, its objects, and the colours of some of its smears."""

    folder: Path
    index: IndexSchema
    sources: tuple[IndexSource, ...]
    objects: ObjectDistributions
    colours: SampledColours


def measure(folder: Path, *, progress: bool) -> DatasetMeasurements:
    """Raises UserError: no dataset, a shard that can't be read, an index that its shards contradict."""
    index = load_index(folder)
    if not index.scenes:
        raise UserError(f"{folder} holds no smear: build it with a count above 0.")
    try:
        sources = tuple(IndexSource.model_validate(source) for source in index.sources)
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise UserError(f"{folder / layout.INDEX}: sources: {what}; fetch or build the set again.") from error
    objects = read_objects(folder, index, progress=progress)
    for split in SPLITS:
        if not _agree(index, objects, split):
            raise UserError(
                f"{folder / layout.INDEX} does not say what the shards of {split} hold: `smearsynth verify {folder}` "
                "names all errors."
            )
    return DatasetMeasurements(
        folder=folder, index=index, sources=sources, objects=objects, colours=read_colours(folder, index)
    )


def _agree(index: IndexSchema, objects: ObjectDistributions, split: str) -> bool:
    """Whether the index counts all classes, and as many objects as there are."""
    part = index.splits[split]  # type: ignore[index]
    keys = {c.key for c in CLASSES[1:]}
    if part.pixels.keys() != keys | {CLASSES[0].key}:
        return False
    if not keys == part.objects.keys() == part.cells.keys() == part.class_by_source.keys():
        return False
    counts, used = (len(index.looks) * objects.counts[split]).tolist(), objects.used_cells(split).tolist()
    return all(
        part.objects[c.key] == counts[c.id] and sum(part.cells[c.key].values()) >= used[c.id] for c in CLASSES[1:]
    )


def figures(measured: DatasetMeasurements) -> Stats:
    """What was measured, as plain data."""
    index, objects = measured.index, measured.objects
    return Stats(
        name=index.name,
        digest=index.digest,
        size=index.size,
        um_per_px=index.um_per_px,
        looks=index.looks,
        samples=index.samples,
        scenes=index.scenes,
        splits={split: _split_figures(measured, split) for split in SPLITS},
        classes={c.key: _class_figures(objects, c.id) for c in CLASSES[1:]},
        objects=objects.objects.quantiles(),
        coverage=objects.covered.quantiles(unit=index.size[0] * index.size[1]),
        colours=measured.colours.by_look(),
        refused={source.name: source.refused for source in measured.sources if source.refused},
        files_left_out={source.name: source.files_left_out for source in measured.sources if source.files_left_out},
    )


def _split_figures(measured: DatasetMeasurements, split: str) -> dict[str, Any]:
    part = measured.index.splits[split]  # type: ignore[index]
    used = measured.objects.used_cells(split).tolist()
    return {**part.model_dump(), "unused": {c.key: sum(part.cells[c.key].values()) - used[c.id] for c in CLASSES[1:]}}


def _class_figures(objects: ObjectDistributions, c: int) -> ClassFigures:
    visible = objects.visible[c]
    whole = float(visible.counts[visible.values == STEPS].sum() / max(visible.counts.sum(), 1))
    return ClassFigures(
        area=CLASSES[c].area,
        size=objects.sizes[c].quantiles(),
        visible=visible.quantiles(unit=STEPS),
        whole=whole if visible.counts.size else None,
    )


def _tables(stats: Stats) -> Iterator[str]:
    """The figures for a person, part by part; "" where a part has nothing to say."""
    height, width = stats.size
    yield (
        f"{stats.name}: {stats.samples:,} smears of {width}x{height} px at {stats.um_per_px} um/px, "
        f"looks {', '.join(stats.looks)}"
    )
    yield _class_table(stats)
    yield _combination_lines(stats)
    yield columns(
        ("per smear", "mean", "sd", "5 %", "median", "95 %"),
        [
            (name, *(shape.format(value) for value in (one.mean, one.sd, one.p5, one.median, one.p95)))
            for name, shape, one in (("cells", "{:.1f}", stats.objects), ("area covered", "{:.1%}", stats.coverage))
            if one
        ],
        text=("per smear",),
    )
    yield _size_table(stats)
    yield _source_table(stats)
    unused = [(key, *(stats.splits[split]["unused"][key] for split in SPLITS)) for key in stats.classes]
    unused = [row for row in unused if any(row[1:])]
    table = columns(("cells in no smear", *SPLITS), unused, text=("cells in no smear",))
    yield table or "every cell of the bank is in some smear"
    yield columns(
        ("look", "colour of", "smears looked at", "red", "green", "blue"),
        [
            (look, kind, one.smears, *map("{:.0f} ± {:.0f}".format, colour.mean, colour.sd))
            for look, one in stats.colours.items()
            for kind, colour in (("cells", one.cells), ("glass", one.glass))
            if colour
        ],
        text=("look", "colour of"),
    )
    yield refusal_table(stats.refused)
    left_out = [(source, why, n) for source, reasons in stats.files_left_out.items() for why, n in reasons.items()]
    yield columns(("source", "left out because", "files"), left_out, text=("source", "left out because"))


def _class_table(stats: Stats) -> str:
    head, rows = ["class"], [["smears"], *([c.key] for c in CLASSES)]
    for split in SPLITS:
        part = stats.splits[split]
        pixels = sum(part["pixels"].values()) or 1
        head += [split, "pixels"]
        rows[0] += [f"{part['samples']:,}", ""]
        for c, row in zip(CLASSES, rows[1:], strict=True):
            row += [f"{part['objects'][c.key]:,}" if c.id else "", f"{part['pixels'][c.key] / pixels:.2%}"]
    return columns(head, rows, text=("class",))


def _combination_lines(stats: Stats) -> str:
    lines = []
    for split in SPLITS:
        met = stats.splits[split]["combinations"]
        if not met:
            continue
        missing = [name for name in COMBINATIONS if name not in met]
        more = " ..." if len(missing) > _MISSING_NAMED else ""
        named = f"; not met: {', '.join(missing[:_MISSING_NAMED])}{more}" if missing else ""
        often = f"{min(met.values()):,} to {max(met.values()):,} times each"
        lines.append(f"combinations in {split}: {len(met)}, {often}{named}")
    return "\n".join(lines)


def _size_table(stats: Stats) -> str:
    """Areas in px of whole cells; the visible share is a mean."""
    rows = [
        (
            key,
            f"{one.size.n:,}",
            one.area,
            *(f"{value:,.0f}" for value in (one.size.mean, one.size.sd, one.size.p5, one.size.median, one.size.p95)),
            f"{one.visible.mean:.1%}",
            f"{one.whole:.1%}",
        )
        for key, one in stats.classes.items()
        if one.size and one.visible
    ]
    head = ("class", "cells", "taxonomy", "area px", "sd", "5 %", "median", "95 %", "visible", "entirely")
    return columns(head, rows, text=("class",))


def _source_table(stats: Stats) -> str:
    """Objects in the smears, and cells of the bank that they could be drawn from."""
    parts = [stats.splits[split] for split in SPLITS]
    sources = sorted({name for part in parts for cells in part["cells"].values() for name in cells})
    rows = []
    for key in stats.classes:
        for source in sources:
            counts = [part[table][key].get(source, 0) for table in ("class_by_source", "cells") for part in parts]
            if any(counts):
                rows.append((key, source, *(f"{n:,}" for n in counts)))
    names = [f"{what} {split}" for what in ("objects", "cells") for split in SPLITS]
    return columns(("class", "source", *names), rows, text=("class", "source"))
