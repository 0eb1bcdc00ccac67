"""Classes whose cells part and vote together: a red cell is one cell, however much of it looks infected."""

from collections.abc import Sequence
from dataclasses import dataclass

from smearsynth.taxonomy import CLASSES, FOREGROUND_CLASSES, HEALTHY_RBC, RED_CELLS, UM_PER_PX, WHITE_CELLS

PLATELETS = tuple(c for c in FOREGROUND_CLASSES if c not in WHITE_CELLS)
_GROUPS = {"red cells": RED_CELLS, "white cells": WHITE_CELLS, "platelets": PLATELETS}


@dataclass(frozen=True)
class Family:
    """ids: labels of its classes. area: mean px of a whole cell. least, most: mean px of its smallest and its largest
    class. parted: whether cells that touch are told apart; platelets that touch are a clump, which counts as one."""

    name: str
    ids: tuple[int, ...]
    area: float
    least: float
    most: float
    parted: bool = True


def families(keys: Sequence[str], um_per_px: float) -> tuple[Family, ...]:
    """The families among a network's classes. keys: of labels 0 to n - 1, background first. um_per_px: of the label
    map, for the areas.

    A class that the taxonomy does not know, such as the `cell` of black and white masks, is a family of its own and
    taken to be as large as a red cell.
    """
    factor = (UM_PER_PX / um_per_px) ** 2
    found = []
    for name, members in _GROUPS.items():
        areas = {keys.index(c.key): c.area * factor for c in CLASSES if c.id in members and c.key in keys}
        if areas:
            sizes = areas.values()
            mean, parted = sum(sizes) / len(sizes), members is not PLATELETS
            found.append(Family(name, tuple(areas), mean, min(sizes), max(sizes), parted))
    red = CLASSES[HEALTHY_RBC].area * factor
    known = {c.key for c in CLASSES}
    found += [Family(key, (i,), red, red, red) for i, key in enumerate(keys) if i and key not in known]
    return tuple(found)
