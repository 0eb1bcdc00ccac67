"""One HTML page that needs nothing else: smears beside real crops, the table, and small plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from smearsynth.fidelity.edges import OFFSETS, PROFILE
from smearsynth.fidelity.measures import LINES, Line, Row
from smearsynth.fidelity.spectrum import FREQUENCIES, SPECTRUM, WINDOW
from smearsynth.fidelity.table import HEAD, cells, differs_most
from smearsynth.fidelity.tally import Floats, Quantity, Tally, mean
from smearsynth.images import Pixels
from smearsynth.page import Curve, distribution, inline, limits, plot, write_page
from smearsynth.taxonomy import UM_PER_PX

_COLOURS = {"synthetic": "#c2410c", "real": "#1d4ed8"}
_FAR = 2.0
"""Times the distance between halves from which a row is marked."""


class Both(NamedTuple):
    """What was measured of the smears and of the real images."""

    synthetic: Tally
    real: Tally


def write_fidelity(
    path: Path, facts: Mapping[str, Any], rows: Sequence[Row], both: Both, pictures: Sequence[Sequence[Pixels]]
) -> None:
    """facts: of both sets, as `compare.Fidelity` names them. pictures: of the smears, and of the real images, all of
    one size."""
    titles = {"synthetic": "Smears", "real": "Real fields"}
    write_page(
        path,
        "fidelity/page.html",
        facts=facts,
        told=_told(facts),
        differs_most=differs_most(rows),
        colours=_COLOURS,
        sets=[
            (name, title, [inline(picture, title, exact=True) for picture in shown])
            for (name, title), shown in zip(titles.items(), pictures, strict=True)
        ],
        head=HEAD,
        rows=[cells(row) for row in rows],
        far=[number for number, row in enumerate(rows) if row.times is not None and row.times > _FAR],
        plots=_plots(both),
    )


def _told(facts: Mapping[str, Any]) -> str:
    low, median, high = facts["um_per_px"]
    told = "their masks and the smears' labels" if facts["masks"] else "Otsu's threshold on both sides"
    return (
        f"{facts['smears']} smears of the look {facts['look']}, {facts['images']} real images of {median:.3f} um/px "
        f"({low:.3f} to {high:.3f}) in {facts['crops']} crops, all at {UM_PER_PX:.2f} um/px. Cells are told by {told}."
    )


def _plots(both: Both) -> list[Markup]:
    """The spectrum, the edge's profile, and the distribution of each quantity that has a line of one slice."""
    return [
        _curve(both, SPECTRUM, FREQUENCIES / (WINDOW * UM_PER_PX), "power of lightness, dB", "cycles per um"),
        _curve(both, PROFILE, OFFSETS, "profile across an edge, glass to rim", "px"),
        *(_distribution(both, line) for line in LINES if line.slices[1] - line.slices[0] == 1),
    ]


def _curve(both: Both, quantity: Quantity, x: Any, title: str, unit: str) -> Markup:
    means = [mean(quantity, tally.counts(quantity)) for tally in both]
    low, high = limits(*means)
    return plot(x, _curves(means), title=title, unit=unit, low=low, high=high)


def _distribution(both: Both, line: Line) -> Markup:
    counts = [tally.counts(line.quantity)[line.slices[0]] for tally in both]
    return distribution(line.quantity.points, _curves(counts), title=line.name, unit=line.unit)


def _curves(values: Sequence[Floats]) -> list[Curve]:
    """Of the synthetic and the real side; the synthetic one is drawn last and lies on top."""
    synthetic, real = values
    return [Curve(real, _COLOURS["real"]), Curve(synthetic, _COLOURS["synthetic"])]
