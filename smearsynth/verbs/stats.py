"""What a dataset holds, in figures for a person or a machine.

A dataset on one HTML page.
"""

from pathlib import Path

from smearsynth.bank.make_bank import REFUSED, REFUSED_TEXT, refusal_rows
from smearsynth.base.command_line import columns
from smearsynth.base.errors import printable
from smearsynth.dataset import layout
from smearsynth.dataset.index import read_index
from smearsynth.dataset.provenance import bank_of
from smearsynth.dataset.report_page import Told, write_report
from smearsynth.dataset.statistics import ImportedStats, Stats, figures, is_imported, measure, measure_imported
from smearsynth.recipe.reading import read_resolved
from smearsynth.recipe.scene_options import COMBINATIONS
from smearsynth.taxonomy import CLASSES, SPLITS

_MISSED = 5
"""Combinations that are named where not all were met."""
_COUNTED = ("samples", "images", "groups")
"""Of a split of an imported set."""


def stats(path: str | Path, *, progress: bool = True) -> Stats | ImportedStats:
    """Counts a dataset: its index, the tables of objects of all its smears, and the colours of some of them; of one
    that was imported, which has no objects, its labels.

    progress: a bar on stderr where that is a terminal. Raises UserError: no dataset, a damaged shard, an index that its
    shards contradict.
    """
    folder = Path(path)
    if is_imported(folder):
        return measure_imported(folder, progress=progress)
    return figures(measure(folder, progress=progress))


def as_text(found: Stats | ImportedStats) -> str:
    """The figures in tables, for a person."""
    text = _imported(found) if isinstance(found, ImportedStats) else _built(found)
    return "\n".join(printable(line) for line in text.split("\n"))


def _imported(found: ImportedStats) -> str:
    sizes = ", ".join(f"{count:,} of {size} px" for size, count in found.sizes.items())
    head = f"{found.name}: {found.samples:,} imported images or patches at {found.um_per_px} um/px, {sizes}"
    names, columns_of_splits = ["class"], []
    for split, told in found.splits.items():
        pixels = [*(told["pixels"][key] for key in found.classes), told["ignored"]]
        counts = [f"{told[what]:,}" for what in _COUNTED]
        columns_of_splits.append([*counts, *(f"{n / max(1, sum(pixels)):.2%}" for n in pixels)])
        names.append(split)
    rows = list(zip([*_COUNTED, *found.classes, "ignored"], *columns_of_splits, strict=True))
    missing = f"not told: {found.missing}, for this set was not built from cells"
    return "\n\n".join([head, columns(names, rows, text=("class",)), missing])


def _built(found: Stats) -> str:
    height, width = found.size
    head = (
        f"{found.name}: {found.samples:,} smears of {width}x{height} px at {found.um_per_px} um/px, "
        f"looks {', '.join(found.looks)}"
    )
    parts = [head, _classes(found), _combinations(found), _per_smear(found), _sizes(found), _by_source(found)]
    parts += [_unused(found), _colours(found), columns(REFUSED, refusal_rows(found.refused), text=REFUSED_TEXT)]
    return "\n\n".join(part for part in (*parts, _left_out(found)) if part)


def _classes(found: Stats) -> str:
    head = ["class"]
    rows = [["smears"], *([c.key] for c in CLASSES)]
    for split in SPLITS:
        told = found.splits[split]
        pixels = sum(told["pixels"].values()) or 1
        head += [split, "pixels"]
        rows[0] += [f"{told['samples']:,}", ""]
        for c, row in zip(CLASSES, rows[1:], strict=True):
            row += [f"{told['objects'][c.key]:,}" if c.id else "", f"{told['pixels'][c.key] / pixels:.2%}"]
    return columns(head, rows, text=("class",))


def _combinations(found: Stats) -> str:
    lines = []
    for split in SPLITS:
        met = found.splits[split]["combinations"]
        if not met:
            continue
        missed = [name for name in COMBINATIONS if name not in met]
        named = f"; not met: {', '.join(missed[:_MISSED])}{' ...' if len(missed) > _MISSED else ''}" if missed else ""
        often = f"{min(met.values()):,} to {max(met.values()):,} times each"
        lines.append(f"combinations in {split}: {len(met)}, {often}{named}")
    return "\n".join(lines)


def _sizes(found: Stats) -> str:
    """Areas in px of whole cells; the visible share is a mean."""
    rows: list[tuple[object, ...]] = [
        (
            key,
            f"{one.size.n:,}",
            one.area,
            *(f"{value:,.0f}" for value in (one.size.mean, one.size.sd, one.size.p5, one.size.median, one.size.p95)),
            f"{one.visible.mean:.1%}",
            f"{one.whole:.1%}",
        )
        for key, one in found.classes.items()
        if one.size and one.visible
    ]
    head = ("class", "cells", "taxonomy", "area px", "sd", "5 %", "median", "95 %", "visible", "entirely")
    return columns(head, rows, text=("class",))


def _per_smear(found: Stats) -> str:
    rows = [
        (name, *(shape.format(value) for value in (one.mean, one.sd, one.p5, one.median, one.p95)))
        for name, shape, one in (("cells", "{:.1f}", found.objects), ("area covered", "{:.1%}", found.coverage))
        if one
    ]
    return columns(("per smear", "mean", "sd", "5 %", "median", "95 %"), rows, text=("per smear",))


def _by_source(found: Stats) -> str:
    """Objects in the smears, and cells of the bank that they could be drawn from."""
    sources = sorted({name for split in found.splits.values() for part in split["cells"].values() for name in part})
    rows = []
    for key in found.classes:
        for source in sources:
            counts = [
                [found.splits[split][table][key].get(source, 0) for split in SPLITS]
                for table in ("class_by_source", "cells")
            ]
            if any(counts[0] + counts[1]):
                rows.append((key, source, *(f"{n:,}" for n in counts[0] + counts[1])))
    names = [f"{what} {split}" for what in ("objects", "cells") for split in SPLITS]
    return columns(("class", "source", *names), rows, text=("class", "source"))


def _unused(found: Stats) -> str:
    rows = [(key, *(found.splits[split]["unused"][key] for split in SPLITS)) for key in found.classes]
    rows = [row for row in rows if any(row[1:])]
    if not rows:
        return "every cell of the bank is in some smear"
    return columns(("cells in no smear", *SPLITS), rows, text=("cells in no smear",))


def _colours(found: Stats) -> str:
    rows = [
        (look, kind, one.smears, *(f"{mean:.0f} ± {sd:.0f}" for mean, sd in zip(colour.mean, colour.sd, strict=True)))
        for look, one in found.colours.items()
        for kind, colour in (("cells", one.cells), ("glass", one.glass))
        if colour
    ]
    return columns(("look", "colour of", "smears looked at", "red", "green", "blue"), rows, text=("look", "colour of"))


def _left_out(found: Stats) -> str:
    rows = [(source, why, n) for source, reasons in found.files_left_out.items() for why, n in reasons.items()]
    return columns(("source", "left out because", "files"), rows, text=("source", "left out because"))


def report(path: str | Path, *, out: str | Path | None = None, progress: bool = True) -> Path:
    """Writes the page and gives its path: `out`, else NAME-report.html in the working directory.

    The page needs no other file and no network. Without cells.h5 it shows no gallery, and says so. progress: a bar on
    stderr where that is a terminal. Raises UserError: no dataset, a damaged part of it, an index that its shards
    contradict.
    """
    folder = Path(path)
    page = Path(out) if out is not None else Path(f"{folder.resolve().name}-report.html")
    layout.check_outside(page)
    measured = measure(folder, progress=progress)
    told = Told(
        index=read_index(folder),
        recipe=read_resolved(folder / layout.RECIPE),
        resolved=(folder / layout.RECIPE).read_text(encoding="utf-8"),
        bank=bank_of(folder, measured.stated),
    )
    write_report(page, measured, told)
    return page
