"""What the plan of a smear holds: objects, label and instance map, distractors and light, all in integers."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC

OBJECT_FIELDS = (
    "class",
    "cell",
    "cx",
    "cy",
    "angle",
    "flip",
    "scale",
    "z",
    "x",
    "y",
    "w",
    "h",
    "visible",
    "full",
)
"""Columns of `Scene.objects`: centres in 1/256 px, angle in 1/65536 turn, scale in 1/65536; x, y, w, h is the box of
the visible part in px; visible and full are pixels."""
CLASS, CELL, CX, CY, ANGLE, FLIP, SCALE, Z, X, Y, W, H, VISIBLE, FULL = range(len(OBJECT_FIELDS))
"""Numbers of these columns, for compiled loops."""
POSE = slice(CLASS, SCALE + 1)
"""The columns that say which cell is placed and how; all others follow from them and the bank."""


class Distractor(NamedTuple):
    """A row of `Scene.distractors`.

    kind: 0 granule of precipitate, 1 piece of debris, 2 scale bar. cx, cy: centre, in 1/256 px. size: diameter or
    length, in 1/256 px. angle: in 1/65536 turn, 0 along a row. density: in 1/1024 of a halving of the light. key: 0 to
    2**31 - 1, from which shape and hue follow.
    """

    kind: int
    cx: int
    cy: int
    size: int
    angle: int
    density: int
    key: int


BACKGROUNDS = ("none", "healthy", "infected", "mixed")
"""Names of the values of `Scene.background`: 1 for healthy red cells and 2 for infected ones, added up."""


def background_of(classes: Collection[int]) -> int:
    """The index into BACKGROUNDS of a smear with objects of these classes."""
    return (HEALTHY_RBC in classes) + 2 * (INFECTED_RBC in classes)


@dataclass(frozen=True, kw_only=True)
class Light:
    """Optical parameters of one look of one scene, all drawn, all integers; `scene.light` gives names and units.

    look: its name. base: the name of the painter in `rendering.looks`.
    """

    look: str
    base: str
    values: dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One smear without its colour.

    objects: int32 (n, 14), columns OBJECT_FIELDS, in ascending z. label: uint8 (H, W), class ids. instance: uint16
    (H, W), 0 = background, else 1 + row in objects. dropped: cells left out because too little of them was visible.
    background: which red cells there are, an index into BACKGROUNDS. distractors: int32 (m, 7), each row a
    `Distractor`; they belong to the background. lights: one per look of the recipe. parasite: uint8 (H, W), 0 none,
    1 parasite, 255 unknown, where the bank knows it.
    """

    split: str
    index: int
    objects: npt.NDArray[np.int32]
    label: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.uint16]
    dropped: int
    background: int
    distractors: npt.NDArray[np.int32]
    lights: tuple[Light, ...]
    parasite: npt.NDArray[np.uint8] | None
