"""What a plan holds."""

from collections.abc import Collection
from dataclasses import dataclass

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

DISTRACTOR_FIELDS = ("kind", "cx", "cy", "size", "angle", "density", "key")
"""Columns of `Scene.distractors`. kind: 0 granule of precipitate, 1 piece of debris, 2 scale bar. Centre and size, its
diameter or length, in 1/256 px; angle in 1/65536 turn, 0 along a row; density in 1/1024 of a halving of the light;
key: 0 to 2**31 - 1, from which shape and hue follow."""

BACKGROUNDS = ("none", "healthy", "infected", "mixed")
"""Names of the values of `Scene.background`: 1 for healthy red cells and 2 for infected ones, added up."""


def background_of(classes: Collection[int]) -> int:
    """The index into BACKGROUNDS of a smear with objects of these classes."""
    return (HEALTHY_RBC in classes) + 2 * (INFECTED_RBC in classes)


@dataclass(frozen=True, kw_only=True)
class Light:
    """Optical parameters of one look of one scene, all drawn, all integers; `scene.light` gives names and units.

    look: its name. base: the name of the painter in `render`.
    """

    look: str
    base: str
    values: dict[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One smear without its colour.

    objects: i4 (n, 14), columns OBJECT_FIELDS, in ascending z. label: u1 (H, W), class ids. instance: u2 (H, W),
    0 = background, else 1 + row in objects. dropped: cells left out because too little of them was visible.
    background: which red cells there are, an index into BACKGROUNDS. distractors: i4 (m, 7), columns
    DISTRACTOR_FIELDS, which are background. lights: one per look of the recipe.
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
