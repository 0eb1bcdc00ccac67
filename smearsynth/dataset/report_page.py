"""A dataset on one HTML page: the tables and sentences of each section; how they are laid out is the template's."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smearsynth.bank.bank import Bank
from smearsynth.bank.quality_gate import refusal_rows
from smearsynth.base.errors import UserError
from smearsynth.base.html_page import HtmlTable, bar, coded, in_lines, share, swatch, write_page
from smearsynth.dataset import facts, layout, report_pictures
from smearsynth.dataset.distributions import LookColours
from smearsynth.dataset.index import Index, claim_of
from smearsynth.dataset.statistics import DatasetMeasurements, Stats, figures
from smearsynth.recipe.look_options import LookSpec
from smearsynth.recipe.scene_options import BACKGROUNDS, COMBINATIONS, Combination
from smearsynth.taxonomy import BY_KEY, CLASSES, SPLITS

_ACCENT, _SECOND = "#5b3a8c", "#0f766e"
_SOURCE_COLOURS = ("#5b3a8c", "#d97706", "#0f766e", "#be185d", "#1d4ed8", "#65a30d", "#7c2d12", "#475569")


@dataclass(frozen=True, kw_only=True)
class DatasetReportData:
    """What the page shows beside figures: the index, the recipe, as plain data and as its YAML `resolved`, and the
    bank, where there is one.
    """

    index: Index
    recipe: Mapping[str, Any]
    resolved: str
    bank: Bank | None


def write_report(path: Path, measured: DatasetMeasurements, data: DatasetReportData) -> None:
    """Raises UserError where the index lacks what every build writes into it."""
    index, objects, bank = measured.index, measured.objects, data.bank
    stats = figures(measured)
    combinations, others = count_combinations({split: stats.splits[split]["combinations"] for split in SPLITS})
    names = [source["name"] for source in data.index["sources"]]
    source_colours = {name: _SOURCE_COLOURS[i % len(_SOURCE_COLOURS)] for i, name in enumerate(names)}
    write_page(
        path,
        "dataset/report.html",
        stats=stats,
        words=_words(data.index),
        tiles=_tiles(stats, len(names)),
        classes=[(c.name, c.colour) for c in CLASSES],
        examples=report_pictures.read_examples(measured.folder, index),
        balance=_balance(stats),
        per_smear=report_pictures.smear_plots(objects, index.size[0] * index.size[1]),
        backgrounds=BACKGROUNDS,
        combinations=combinations,
        other_combinations=others,
        plot_colours={"placed": report_pictures.PLACED_COLOUR, "bank": report_pictures.BANK_COLOUR},
        size_plots=report_pictures.size_plots(objects, bank),
        sizes=_sizes(stats),
        gallery=None if bank is None else report_pictures.gallery(bank),
        bank_file=layout.BANK,
        sources=_sources(data.index),
        source_colours=source_colours,
        by_source=_by_source(stats, source_colours),
        **_refusals(stats),
        split_counts=_split_counts(stats),
        groups=None if bank is None else _groups(bank),
        looks=[
            {"name": look, "swatches": report_pictures.swatches(measured.colours, look), "colours": _look_colours(one)}
            for look, one in stats.colours.items()
        ],
        parameters=_parameters(data.recipe),
        identity=HtmlTable((), [(name, coded(f"`{value}`")) for name, value in facts.identity(data.index)], texts=2),
        resolved=data.resolved,
    )


def _words(index: Index) -> dict[str, Any]:
    """The sentences that the card says too."""
    try:
        return {
            "summary": facts.summary(index),
            "warning": facts.warning(index),
            "labels": facts.labels(index),
            "limits": facts.limits(index),
            "origin": facts.origin(index),
            "grouping": [facts.grouping(source) for source in facts.known_sources(index)],
            "works": facts.works(index),
            "citation": facts.citation(index),
            "rebuilding": facts.rebuilding(index),
            "claim": claim_of(index),
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{layout.INDEX} lacks what this smearsynth writes into an index ({error!r}): report with the one that "
            "made the set, or fetch it again."
        ) from error


def _tiles(stats: Stats, sources: int) -> list[tuple[str, str]]:
    assert stats.objects is not None, "a set without a smear is not measured"
    assert stats.coverage is not None
    return [
        ("smears", f"{stats.samples:,}"),
        *((split, f"{stats.splits[split]['samples']:,}") for split in SPLITS),
        ("cells in a smear", f"{stats.objects.mean:.1f}"),
        ("area covered", share(stats.coverage.mean)),
        ("field, px", f"{stats.size[1]} × {stats.size[0]}"),
        ("sources", str(sources)),
    ]


def _balance(stats: Stats) -> HtmlTable:
    """Per class, over all splits and in each: pixels and objects with their shares."""
    parts = {"all": list(stats.splits.values()), **{split: [stats.splits[split]] for split in SPLITS}}
    counts = {
        (name, kind): {c.key: sum(part[kind].get(c.key, 0) for part in of) for c in CLASSES}
        for name, of in parts.items()
        for kind in ("pixels", "objects")
    }
    shares = {at: {key: n / max(sum(of.values()), 1) for key, n in of.items()} for at, of in counts.items()}
    widest = {kind: max(shares["all", kind][c.key] for c in CLASSES[1:]) or 1 for kind in ("pixels", "objects")}
    rows = []
    for c in CLASSES:
        row: list[object] = [swatch(c.colour, c.name)]
        for kind, colour in (("pixels", _ACCENT), ("objects", _SECOND)):
            of_class = shares["all", kind][c.key]
            row.append(share(of_class) if c.id or kind == "pixels" else "")
            row.append(bar({colour: min(of_class / widest[kind], 1)}) if c.id else "")
        for split in SPLITS:
            row += [share(shares[split, "pixels"][c.key]), f"{counts[split, 'objects'][c.key]:,}" if c.id else ""]
        rows.append(row)
    by_split = [text for split in SPLITS for text in (in_lines([split, "pixels"]), "objects")]
    return HtmlTable(["class", "pixels", "", "objects", "", *by_split], rows)


@dataclass(frozen=True)
class CombinationCount:
    """How often a combination was met. shade: 0 to 1, of the one that was met most. by_split: in words."""

    times: int
    shade: float
    by_split: str


@dataclass(frozen=True)
class CombinationRow:
    """A foreground, and how often it was met on each of BACKGROUNDS."""

    name: str
    met: tuple[CombinationCount, ...]


def count_combinations(by_split: Mapping[str, Mapping[str, int]]) -> tuple[list[CombinationRow], int]:
    """A row for each of the 36 foregrounds; and how many smears show something else.

    by_split: combinations of each split, name -> samples. A field larger than 224x224 px holds a foreground several
    times over; it counts where its classes stand once.
    """
    counts = {split: Counter[str]() for split in by_split}
    for split, met in by_split.items():
        for name, times in met.items():
            counts[split][_folded(name)] += times
    whole = sum(counts.values(), Counter[str]())
    most = max([whole[name] for name in COMBINATIONS] + [1])
    rows = []
    for foreground in dict.fromkeys(c.foreground for c in COMBINATIONS.values()):
        names = [Combination(foreground, background).name for background in BACKGROUNDS]
        met_on = [
            CombinationCount(whole[name], whole[name] / most, ", ".join(f"{s} {n[name]:,}" for s, n in counts.items()))
            for name in names
        ]
        rows.append(CombinationRow(" + ".join(CLASSES[c].name for c in foreground) or "none", tuple(met_on)))
    return rows, sum(times for name, times in whole.items() if name not in COMBINATIONS)


def _folded(name: str) -> str:
    """The combination with each of its classes once, where it is none of the 108."""
    foreground, _, background = name.rpartition("/")
    if name in COMBINATIONS or background not in BACKGROUNDS:
        return name
    ids = {BY_KEY[key].id for key in foreground.split("+") if key in BY_KEY}
    return Combination(tuple(sorted(ids)), background).name


def _sizes(stats: Stats) -> HtmlTable:
    head = ("class", "cells", "taxonomy, px", "mean, px", "of taxonomy", "sd", "5 %", "median", "95 %", "diameter, µm")
    rows = [
        (
            swatch(c.colour, c.name),
            *(f"{n:,}" for n in (one.size.n, one.area, round(one.size.mean))),
            f"{100 * one.size.mean / one.area:.0f} %",
            *(f"{round(n):,}" for n in (one.size.sd, one.size.p5, one.size.median, one.size.p95)),
            f"{2 * stats.um_per_px * math.sqrt(one.size.mean / math.pi):.1f}",
            share(one.visible.mean),
            share(one.whole),
        )
        for c in CLASSES[1:]
        for one in [stats.classes[c.key]]
        if one.size and one.visible and one.whole is not None
    ]
    return HtmlTable((*head, "shows", "shows whole"), rows)


def _sources(index: Index) -> HtmlTable:
    rows = [
        (s["name"], s["title"], s["licence"], s["redistribution"].replace("_", " "), facts.um_per_px(s))
        for s in facts.known_sources(index)
    ]
    return HtmlTable(("name", "title", "licence", "redistribution", "µm/px"), rows, texts=4)


def _by_source(stats: Stats, colours: Mapping[str, str]) -> HtmlTable:
    """Per class: the share of its objects from each source, and counts by split."""
    parts, rows = [stats.splits[split] for split in SPLITS], []
    for c in CLASSES[1:]:
        objects = {name: sum(part["class_by_source"][c.key].get(name, 0) for part in parts) for name in colours}
        cells = {name: [part["cells"][c.key].get(name, 0) for part in parts] for name in colours}
        known = [name for name in colours if objects[name] or any(cells[name])]
        if known:
            whole, unused = max(sum(objects.values()), 1), [part["unused"][c.key] for part in parts]
            rows.append(
                (
                    swatch(c.colour, c.name),
                    bar({colours[name]: objects[name] / whole for name in known}),
                    in_lines(f"{name} {objects[name]:,}" for name in known),
                    in_lines(f"{name} {' / '.join(f'{n:,}' for n in cells[name])}" for name in known),
                    " / ".join(map(str, unused)) if any(unused) else "none",
                )
            )
    splits = f"({' / '.join(SPLITS)})"
    head = ("class", "by source", "objects", in_lines(["cells drawn from", splits]), in_lines(["in no smear", splits]))
    return HtmlTable(head, rows, texts=4)


def _refusals(stats: Stats) -> dict[str, Any]:
    """Reasons in words with the cells refused for each; the same by source and class; and files left out."""
    refused = refusal_rows(stats.refused)
    reasons: Counter[str] = Counter()
    for *_, cells, because in refused:
        reasons[because] += cells
    most = max(reasons.values(), default=1)
    left_out = [(source, why, f"{n:,}") for source, by_why in stats.files_left_out.items() for why, n in by_why.items()]
    return {
        "reasons": HtmlTable(
            ("reason", "cells", ""), [(why, f"{n:,}", bar({_ACCENT: n / most})) for why, n in reasons.most_common()]
        ),
        "refusals": HtmlTable(
            ("source", "class", "reason", "cells"),
            [(source, key, because, f"{n:,}") for source, key, _, n, because in refused],
            texts=3,
        ),
        "left_out": HtmlTable(("source", "because", "files"), left_out, texts=2),
    }


def _split_counts(stats: Stats) -> HtmlTable:
    parts = [stats.splits[split] for split in SPLITS]
    keys = {
        "smears": "samples",
        "scenes, each in every look": "scenes",
        "shards": "shards",
        "cells left out, too little visible": "dropped",
    }
    rows = [(name, *(f"{part[key]:,}" for part in parts)) for name, key in keys.items()]
    return HtmlTable(("", *SPLITS), [*rows, ("combinations met", *(len(part["combinations"]) for part in parts))])


def _groups(bank: Bank) -> HtmlTable:
    """Per source: cells and groups in each split."""
    groups = np.array(bank.groups)
    rows = []
    for number, name in enumerate(bank.sources):
        mine = [(bank.source == number) & (bank.split == split) for split in range(len(SPLITS))]
        rows.append((name, *(f"{of.sum():,}" for of in mine), *(f"{len(set(groups[of])):,}" for of in mine)))
    return HtmlTable(("source", *(f"{what} in {split}" for what in ("cells", "groups") for split in SPLITS)), rows)


def _look_colours(look: LookColours) -> HtmlTable:
    rows = [
        (f"{name}: mean ± sd of a pixel", *map("{:.0f} ± {:.0f}".format, colour.mean, colour.sd))
        for name, colour in (("cells", look.cells), ("glass, with debris", look.glass))
        if colour
    ]
    return HtmlTable((f"over {look.smears:,} smears, evenly taken", "red", "green", "blue"), rows)


def _parameters(recipe: Mapping[str, Any]) -> HtmlTable:
    """Parameters of the looks: their value in each and what they mean."""
    looks = recipe.get("looks") or []
    rows = []
    for name in dict.fromkeys(key for look in looks for key in look if key != "name"):
        field = LookSpec.model_fields.get(name)
        values = (_value(look.get(name)) for look in looks)
        rows.append((coded(f"`{name}`"), *values, (field and field.description) or ""))
    return HtmlTable(("parameter", *(look["name"] for look in looks), "meaning"), rows, texts=len(looks) + 2)


def _value(value: Any) -> str:
    """Of a parameter: a range as "0.1 to 0.3"; of red, green and blue one after the other."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [_value(part) for part in value]
        if len(parts) != 2:
            return ", ".join(parts)
        return parts[0] if parts[0] == parts[1] else f"{parts[0]} to {parts[1]}"
    return f"{value:g}" if isinstance(value, float) else str("" if value is None else value)
