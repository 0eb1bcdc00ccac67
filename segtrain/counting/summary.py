"""What a laboratory reports of the cells that were counted, and whether they were enough to say it."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from segtrain.counting.measure import Cell
from smearsynth.taxonomy import (
    CLASSES,
    HEALTHY_RBC,
    INFECTED_RBC,
    PLATELET_CLUMP,
    RED_CELLS,
    THROMBOCYTE,
    WHITE_CELLS,
    display_name,
)

ENOUGH_RED = 2000
"""Red cells for a parasitaemia. Counts on thin films are against 1,000 or 2,000; of 2,000 they lie nearer to the truth
(simulation in Malaria Journal 19, 2020, s12936-020-03352-z, table 3)."""
ENOUGH_WHITE = 200
"""White cells for a differential: what each of two examiners counts for the 400 of the reference method (CLSI
H20-A2)."""
UNSURE = 0.5
"""Confidence under which less than half of what the network saw of a cell speaks for its class."""
_Z = 1.959963984540054
"""Of the normal distribution, for an interval of 95 %."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share, 0 to 1, with its 95 % interval (Wilson)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Of all counted cells. cells: how many by class, of every class that the network knows. parasitaemia: infected of
    all red cells. differential: share of each white cell among them, by class. platelets_per_red_cell: of single
    platelets. Of what was not seen, or what the network does not tell apart, there is None or nothing. warnings:
    sentences."""

    cells: dict[str, int]
    red_cells: int
    white_cells: int
    not_counted: int
    parasitaemia: Share | None
    differential: dict[str, Share]
    platelets_per_red_cell: float | None
    warnings: tuple[str, ...]


def summarise(found: Sequence[Cell], *, keys: Sequence[str]) -> Summary:
    """found: all cells, of which those are left out that the border cuts so that they do not count. keys: of the
    network's classes, background first."""
    counted = [cell for cell in found if cell.counted]
    seen = Counter(cell.kind for cell in counted)
    cells = {key: seen[key] for key in keys[1:]}
    red = sum(cells.get(CLASSES[i].key, 0) for i in RED_CELLS)
    white = {CLASSES[i].key: cells[CLASSES[i].key] for i in WHITE_CELLS if CLASSES[i].key in cells}
    whites = sum(white.values())
    malaria = {CLASSES[i].key for i in (INFECTED_RBC, HEALTHY_RBC)} <= cells.keys()
    platelets = cells.get(CLASSES[THROMBOCYTE].key)
    return Summary(
        cells=cells,
        red_cells=red,
        white_cells=whites,
        not_counted=len(found) - len(counted),
        parasitaemia=wilson(cells[CLASSES[INFECTED_RBC].key], red) if malaria and red else None,
        differential={key: wilson(count, whites) for key, count in white.items()} if whites else {},
        platelets_per_red_cell=platelets / red if platelets is not None and red else None,
        warnings=(
            *_too_few(cells, red, whites, malaria=malaria, differential=len(white) > 1),
            *_unsure(cells, Counter(cell.kind for cell in counted if cell.confidence < UNSURE)),
        ),
    )


def wilson(hits: int, total: int) -> Share:
    """hits of total, with the 95 % score interval of E. B. Wilson, J. Am. Stat. Assoc. 22 (1927). total: 1 or more."""
    share, weight = hits / total, _Z**2 / total
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    # At the ends of the scale the interval ends there too, but for rounding.
    low, high = (0.0 if hits == 0 else middle - half), (1.0 if hits == total else middle + half)
    return Share(value=share, low=low, high=high)


def _too_few(cells: dict[str, int], red: int, whites: int, *, malaria: bool, differential: bool) -> list[str]:
    said = []
    if not any(cells.values()):
        return ["no cell was counted"]
    if malaria and red < ENOUGH_RED:
        said.append(f"red cells counted: {red}; a parasitaemia takes {ENOUGH_RED}: mind its interval")
    if differential and whites < ENOUGH_WHITE:
        said.append(f"white cells counted: {whites}; a differential takes {ENOUGH_WHITE}: mind its intervals")
    clumps = cells.get(CLASSES[PLATELET_CLUMP].key, 0)
    if clumps:
        are = "clump of platelets is" if clumps == 1 else "clumps of platelets are"
        said.append(f"{clumps} {are} not in the platelets per red cell, which is too low by theirs")
    return said


def _unsure(cells: dict[str, int], unsure: Counter[str]) -> list[str]:
    return [
        f"{display_name(key)}: of {count} counted, {unsure[key]} have a confidence under {UNSURE}; look at them"
        for key, count in cells.items()
        if 2 * unsure[key] > count
    ]
