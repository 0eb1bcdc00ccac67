"""Example smears on the page, each with its label."""

from dataclasses import dataclass
from pathlib import Path

import cv2

from smearsynth.dataset.record import combination
from smearsynth.dataset.sheet import SMEARS, chosen, palette, shrunk
from smearsynth.dataset.verify.stated import Stated
from smearsynth.page import Inline, inline, inline_indexed
from smearsynth.shards.reader import ShardReader

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
