"""What became of every cell: accepted per class, source and split, refused by reason, files left out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from smearsynth.cells.bank import Bank
from smearsynth.cells.duplicates import Pair
from smearsynth.cells.gate import REASONS
from smearsynth.columns import columns
from smearsynth.sources.entry import Listing
from smearsynth.taxonomy import CLASSES, SPLITS

Refusals = Mapping[tuple[str, int, str], int]
"""(source, class id, reason) -> cells."""
Refused = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Source -> class key -> reason -> cells."""


def count_cells(
    bank: Bank, *, refusals: Refusals, listings: Mapping[str, Listing], pairs: Sequence[Pair]
) -> dict[str, Any]:
    """Plain dicts for --json: `cells` class -> source -> split -> cells; `refused` source -> class -> reason -> cells;
    `left_out` source -> reason -> files; `duplicates`: pairs of cells from different groups that are one cell.
    """
    rows = Counter(zip(bank.class_id.tolist(), bank.source.tolist(), bank.split.tolist(), strict=True))
    cells: dict[str, dict[str, dict[str, int]]] = {}
    for class_id, source in sorted({(class_id, source) for class_id, source, _ in rows}):
        cells.setdefault(CLASSES[class_id].key, {})[bank.sources[source]] = {
            name: rows[class_id, source, split] for split, name in enumerate(SPLITS)
        }
    left_out = {name: dict(sorted(listing.left_out.items())) for name, listing in listings.items() if listing.left_out}
    return {"cells": cells, "refused": refused_cells(refusals), "left_out": left_out, "duplicates": len(pairs)}


def refused_cells(refusals: Refusals) -> dict[str, dict[str, dict[str, int]]]:
    """Source -> class key -> reason -> cells."""
    refused: dict[str, dict[str, dict[str, int]]] = {}
    for (name, class_id, reason), count in sorted(refusals.items()):
        refused.setdefault(name, {}).setdefault(CLASSES[class_id].key, {})[reason] = count
    return refused


def as_text(counts: dict[str, Any]) -> str:
    """The tables as a person reads them, from what `count_cells` returned."""
    accepted = [
        (key, source, *splits.values(), sum(splits.values()), sum(_refused(counts, source, key).values()))
        for key, sources in counts["cells"].items()
        for source, splits in sources.items()
    ]
    totals = ("total", "", *(sum(row[k] for row in accepted) for k in range(2, 7)))
    left_out = [
        (source, reason, count) for source, reasons in counts["left_out"].items() for reason, count in reasons.items()
    ]
    parts = [
        columns(("class", "source", *SPLITS, "cells", "refused"), [*accepted, totals], text=("class", "source")),
        columns(REFUSED, refusal_rows(counts["refused"]), text=REFUSED_TEXT),
        columns(("source", "left out because", "files"), left_out, text=("source", "left out because")),
    ]
    parts.append(f"duplicate pairs, each kept in one group: {counts['duplicates']}" if counts["duplicates"] else "")
    return "\n\n".join(part for part in parts if part)


REFUSED = ("source", "class", "refused", "cells", "because")
REFUSED_TEXT = ("source", "class", "refused", "because")


def refusal_rows(refused: Refused) -> list[tuple[str, str, str, int, str]]:
    """Rows under the head `REFUSED`, the most frequent reason of a source and class first."""
    return [
        (source, key, reason, count, REASONS.get(reason, "the file can't be used"))
        for source, classes in refused.items()
        for key, reasons in classes.items()
        for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]


def _refused(counts: dict[str, Any], source: str, key: str) -> dict[str, int]:
    return counts["refused"].get(source, {}).get(key, {})
