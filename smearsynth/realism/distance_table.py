"""The table of distances between smears and real images: its lines, what each says, and how it is written."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smearsynth.realism import edge_profiles
from smearsynth.realism.distances import (
    Counts,
    Quantity,
    Tally,
    earth_movers,
    halvings,
    mean,
    spread,
)
from smearsynth.realism.measures import (
    CELLS,
    CELLS_LAB,
    CLUSTERED,
    CONTRAST_CELLS,
    CONTRAST_GLASS,
    COVERED,
    DENSITY,
    DIAMETER,
    GLASS,
    GLASS_LAB,
    GLCM,
    RED_CELLS,
    SPECTRUM,
    UNEVEN,
)

HEAD = ("", "unit", "synthetic", "real", "distance", "halves", "times")
_MOST_NAMED = 5
_WIDTH = 10


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the table. slices: which of the quantity's. by_spread: its value is the spread, not the mean."""

    key: str
    name: str
    unit: str
    quantity: Quantity
    slices: tuple[int, int]
    by_spread: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a line says. distance: earth mover's, in the line's unit. halves: the same between two halves of the real
    images, mean over several ways to halve them. times: distance over halves. None: there was nothing to measure, or a
    single image."""

    key: str
    name: str
    unit: str
    synthetic: float | None
    real: float | None
    distance: float | None
    halves: float | None
    times: float | None


def _whole(quantity: Quantity, name: str, unit: str, *, by_spread: bool = False) -> Line:
    every = (0, quantity.slices)
    return Line(key=quantity.key, name=name, unit=unit, quantity=quantity, slices=every, by_spread=by_spread)


def _axes(quantity: Quantity, name: str) -> list[Line]:
    return [
        Line(key=f"{quantity.key}_{axis}", name=f"{name} {axis}*", unit="Lab", quantity=quantity, slices=(i, i + 1))
        for i, axis in enumerate("Lab")
    ]


def _band(key: str, name: str, first: int, last: int) -> Line:
    """Frequencies from first to last, cycles per window."""
    slices = (first - 1, last)
    return Line(key=f"power_{key}", name=f"power, {name}", unit="dB", quantity=SPECTRUM, slices=slices)


LINES = (
    _whole(CELLS, "cells: colour (value: spread)", "Lab", by_spread=True),
    *_axes(CELLS_LAB, "cells:"),
    _whole(RED_CELLS, "red cell to red cell", "Lab"),
    _whole(GLASS, "glass: colour (value: spread)", "Lab", by_spread=True),
    *_axes(GLASS_LAB, "glass:"),
    _whole(UNEVEN, "glass: unevenness in a field", "L*"),
    _band("coarse", "periods over 3 um", 1, 4),
    _band("middle", "periods of 0.8-3 um", 5, 16),
    _band("fine", "periods under 0.8 um", 17, SPECTRUM.slices),
    _whole(CONTRAST_CELLS, "cells: local contrast", "L*"),
    _whole(CONTRAST_GLASS, "glass: local contrast", "L*"),
    *(_whole(quantity, f"cells: GLCM {name}", "") for name, quantity in GLCM.items()),
    _whole(DIAMETER, "single cell: diameter", "um"),
    _whole(DENSITY, "single cells", "/1000 um2"),
    _whole(COVERED, "field under cells", "%"),
    _whole(CLUSTERED, "cell area in clusters", "%"),
    _whole(edge_profiles.WIDTH, "edge: 10-90 % width", "px"),
    _whole(edge_profiles.HALO, "edge: bright halo", "%"),
    _whole(edge_profiles.PROFILE, "edge: whole profile", "%"),
)
QUANTITIES = tuple(dict.fromkeys(line.quantity for line in LINES))


def compare(synthetic: Tally, real: Tally) -> list[Row]:
    """The rows of the table, in the order of `LINES`."""
    return [_row(line, synthetic, real) for line in LINES]


def _row(line: Line, synthetic: Tally, real: Tally) -> Row:
    chosen = slice(*line.slices)

    def counts(tally: Tally, groups: list[int] | None = None) -> Counts:
        return tally.counts(line.quantity, groups)[chosen]

    ours, theirs = counts(synthetic), counts(real)
    distance = earth_movers(line.quantity, ours, theirs)
    apart = [
        earth_movers(line.quantity, counts(real, one), counts(real, other)) for one, other in halvings(real.groups)
    ]
    halves = float(np.mean(apart)) if apart else np.nan
    return Row(
        key=line.key,
        name=line.name,
        unit=line.unit,
        synthetic=_known(_value(line, ours)),
        real=_known(_value(line, theirs)),
        distance=_known(distance),
        halves=_known(halves),
        times=_known(distance / halves) if halves > 0 else None,
    )


def _value(line: Line, counts: Counts) -> float:
    if line.by_spread:
        # Of three axes, from the mean over all directions.
        return float(np.sqrt(3 * np.mean(np.square(spread(line.quantity, counts)))))
    return float(mean(line.quantity, counts).mean())


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def cells(row: Row) -> tuple[str, ...]:
    """A row's texts, under `HEAD`."""
    return (
        row.name,
        row.unit,
        *(number(value) for value in (row.synthetic, row.real, row.distance, row.halves)),
        "-" if row.times is None else f"{row.times:.1f}",
    )


def number(value: float | None) -> str:
    """Three significant digits or more; - where there is none."""
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def lines(rows: Sequence[Row]) -> list[str]:
    """One line per row under a head."""
    table = [HEAD, *(cells(row) for row in rows)]
    name, unit = (max(len(line[i]) for line in table) for i in (0, 1))
    return [
        line[0].ljust(name + 2) + line[1].ljust(unit) + "".join(text.rjust(_WIDTH) for text in line[2:])
        for line in table
    ]


def differs_most(rows: Sequence[Row]) -> str:
    """A sentence on the rows whose distance is the most times that of two halves of the real images."""
    known = sorted((row for row in rows if row.times is not None), key=lambda row: -(row.times or 0))
    if not known:
        return "One real image has no halves to compare: give more for a yardstick."
    named = ", ".join(f"{row.name} ({cells(row)[-1]} times)" for row in known[:_MOST_NAMED])
    return f"Differs most, against two halves of the real images: {named}."
