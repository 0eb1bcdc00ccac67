"""Example smears on the page, each with its label.

Cells of the bank on the page, class by class and source by source.

Looks on the page: what the recipe says of them, and how they came out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from smearsynth.bank.bank import Bank
from smearsynth.bank.cell_gallery import evenly, on_glass
from smearsynth.base.html_page import Inline, inline, inline_indexed
from smearsynth.dataset.contact_sheet import SMEARS, chosen, palette, shrunk
from smearsynth.dataset.distributions import Sampled, Sums
from smearsynth.dataset.index import combination
from smearsynth.dataset.verify.stated_index import Stated
from smearsynth.recipe.look_options import LookSpec
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, CellClass

_SIDE = 448
"""Longest side of an example, px: larger fields are shown smaller."""


@dataclass(frozen=True)
class Example:
    """holds: its combination. image, label: of one size, the label in the colours of the taxonomy."""

    sample_id: str
    holds: str
    image: Inline
    label: Inline


def read_examples(folder: Path, stated: Stated) -> list[Example]:
    """The first scenes of the first shard, in every look: the order of combinations mixes them."""
    reader, looks = ShardReader(folder / stated.shards[0].name), len(stated.looks)
    names, background = reader.column("sample_id"), reader.column("background")
    return [
        _example(reader, row, str(names[row]), int(background[row]))
        for scene in chosen(stated.shards[0].scenes)[: -(-SMEARS // looks)]
        for row in range(scene * looks, (scene + 1) * looks)
    ]


def _example(reader: ShardReader, row: int, sample_id: str, background: int) -> Example:
    image, label = (reader.read(name, row).view("u1") for name in ("image", "label"))
    holds = combination(reader.objects(row)[:, 0], background)
    return Example(
        sample_id,
        holds,
        inline(shrunk(image, _SIDE), f"Smear {sample_id}: {holds}"),
        inline_indexed(shrunk(label, _SIDE, cv2.INTER_NEAREST), palette(), f"Label of {sample_id}"),
    )


_SHOWN = 7


@dataclass(frozen=True)
class Strip:
    """cells: how many there are of the class and source; tiles: some of them, at 40x."""

    source: str
    cells: int
    tiles: list[Inline]


def gallery(bank: Bank) -> list[tuple[CellClass, list[Strip]]]:
    """Every class that has cells, and its strips."""
    pairs = sorted(set(zip(bank.class_id.tolist(), bank.source.tolist(), strict=True)))
    return [
        (CLASSES[class_id], [_strip(bank, class_id, source) for _, source in same])
        for class_id, same in groupby(pairs, key=lambda pair: pair[0])
    ]


def _strip(bank: Bank, class_id: int, source: int) -> Strip:
    rows = np.flatnonzero((bank.class_id == class_id) & (bank.source == source))
    about = f"{CLASSES[class_id].name} of {bank.sources[source]}"
    tiles = [inline(on_glass(bank, i), f"{about}: {bank.paths[i]}") for i in evenly(rows, _SHOWN).tolist()]
    return Strip(bank.sources[source], len(rows), tiles)


_SWATCHES = 48


def parameters(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the looks, and per parameter its value in each and what it means."""
    looks = recipe.get("looks") or []
    names = dict.fromkeys(key for look in looks for key in look if key != "name")
    rows = [
        (name, [_value(look.get(name)) for look in looks], field.description or "" if field else "")
        for name in names
        for field in [LookSpec.model_fields.get(name)]
    ]
    return {"names": [look["name"] for look in looks], "rows": rows}


def _value(value: Any) -> str:
    """Of a parameter: a range as "0.1 to 0.3"; of red, green and blue one after the other."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [_value(part) for part in value]
        if len(parts) != 2:
            return ", ".join(parts)
        return parts[0] if parts[0] == parts[1] else f"{parts[0]} to {parts[1]}"
    return f"{value:g}" if isinstance(value, float) else str("" if value is None else value)


def swatches(sampled: Sampled) -> dict[str, list[tuple[str, str]]]:
    """By look: mean colours of glass and of cells of some smears, from the darkest to the brightest glass."""
    found = {}
    for look, cells in sampled.cells.items():
        both = [pair for pair in zip(sampled.glass[look], cells, strict=True) if all(sums.pixels for sums in pair)]
        both.sort(key=lambda pair: float(pair[0].values.sum() / pair[0].pixels))
        taken = np.linspace(0, len(both) - 1, min(len(both), _SWATCHES)).astype(int)
        found[look] = [(_hex(both[i][0]), _hex(both[i][1])) for i in taken]
    return found


def _hex(sums: Sums) -> str:
    return "#" + bytes(np.rint(sums.values / sums.pixels).astype(np.uint8)).hex()
