"""All that is measured of a view, and the lines of the table that tell it."""

from dataclasses import dataclass

import numpy as np

from smearsynth.fidelity import colour, edges, population, spectrum, texture
from smearsynth.fidelity.tally import Counts, Quantity, Tally, Weighted, earth_movers, halvings, mean, spread
from smearsynth.fidelity.view import View

_MEASURES = (
    colour.measure_colour,
    spectrum.measure_spectrum,
    texture.measure_texture,
    population.measure_population,
    edges.measure_edges,
)


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
    return Line(key=f"power_{key}", name=f"power, {name}", unit="dB", quantity=spectrum.SPECTRUM, slices=slices)


LINES = (
    _whole(colour.CELLS, "cells: colour (value: spread)", "Lab", by_spread=True),
    *_axes(colour.CELLS_LAB, "cells:"),
    _whole(colour.RED_CELLS, "red cell to red cell", "Lab"),
    _whole(colour.GLASS, "glass: colour (value: spread)", "Lab", by_spread=True),
    *_axes(colour.GLASS_LAB, "glass:"),
    _whole(colour.UNEVEN, "glass: unevenness in a field", "L*"),
    _band("coarse", "periods over 3 um", 1, 4),
    _band("middle", "periods of 0.8-3 um", 5, 16),
    _band("fine", "periods under 0.8 um", 17, spectrum.SPECTRUM.slices),
    _whole(texture.CONTRAST_CELLS, "cells: local contrast", "L*"),
    _whole(texture.CONTRAST_GLASS, "glass: local contrast", "L*"),
    *(_whole(quantity, f"cells: GLCM {name}", "") for name, quantity in texture.GLCM.items()),
    _whole(population.DIAMETER, "single cell: diameter", "um"),
    _whole(population.DENSITY, "single cells", "/1000 um2"),
    _whole(population.COVERED, "field under cells", "%"),
    _whole(population.CLUSTERED, "cell area in clusters", "%"),
    _whole(edges.WIDTH, "edge: 10-90 % width", "px"),
    _whole(edges.HALO, "edge: bright halo", "%"),
    _whole(edges.PROFILE, "edge: whole profile", "%"),
)
QUANTITIES = tuple(dict.fromkeys(line.quantity for line in LINES))


def measure(view: View) -> dict[Quantity, Weighted]:
    """Everything of one view."""
    measured: dict[Quantity, Weighted] = {}
    for part in _MEASURES:
        measured |= part(view)
    return measured


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
