"""Smears of a dataset, evenly taken from all of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from smearsynth.dataset.layout import shards
from smearsynth.errors import UserError
from smearsynth.fidelity.spectrum import WINDOW
from smearsynth.fidelity.view import View, without_gaps
from smearsynth.fields.otsu import cells_and_nuclei
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import IGNORE


@dataclass(frozen=True)
class Smears:
    """Rows of one look. look: its name. size: height and width, px. rows: file and row of each smear taken."""

    look: str
    size: tuple[int, int]
    rows: list[tuple[ShardReader, int]]

    def __len__(self) -> int:
        return len(self.rows)

    def views(self, *, by_label: bool) -> Iterator[View]:
        """by_label: cells are what the label says, else what Otsu finds."""
        for number, (reader, row) in enumerate(self.rows):
            image = reader.read("image", row).view(np.uint8)
            label, dark = reader.read("label", row), cells_and_nuclei(image)
            cells = without_gaps((label != 0) & (label != IGNORE)) if by_label else dark
            yield View(image, cells, dark, number)


def take_smears(dataset: Path, look: str | None, samples: int) -> Smears:
    """At most `samples` smears. look: None is the first. Raises UserError: no dataset, no such look, damaged."""
    files = shards(dataset)
    if not files:
        raise UserError(f"{dataset}: holds no shards, so there is no smear to measure; build the dataset first.")
    readers = [ShardReader(file) for file in files]
    looks = readers[0].header.looks
    if look is not None and look not in looks:
        near = get_close_matches(look, looks, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"{dataset}: has no look {look}, it has {', '.join(looks)}{hint}")
    chosen = looks.index(look) if look else 0
    rows = [(reader, int(row)) for reader in readers for row in np.flatnonzero(reader.column("look") == chosen)]
    if not rows:
        raise UserError(f"{dataset}: holds no smear of the look {looks[chosen]}; build the dataset again.")
    h, w = rows[0][0].read("label", rows[0][1]).shape
    if min(h, w) < WINDOW:
        raise UserError(
            f"{dataset}: its smears have {w}x{h} px, and fidelity needs {WINDOW} px a side; build larger ones."
        )
    taken = np.linspace(0, len(rows) - 1, min(samples, len(rows))).astype(int)
    return Smears(looks[chosen], (h, w), [rows[i] for i in taken])
