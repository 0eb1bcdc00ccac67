"""The verb `fidelity`: smears and real images measured in one pass, compared, and shown as text and as a page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from smearsynth.bank.bank_file import load_bank
from smearsynth.base.html_page import HtmlTable, Inline, inline, write_page
from smearsynth.base.images import Pixels
from smearsynth.base.plots import Curve, curves, distribution
from smearsynth.base.progress import with_progress
from smearsynth.dataset import layout
from smearsynth.realism.distance_table import HEAD, LINES, QUANTITIES, Line, Row, cells, compare, differs_most, lines
from smearsynth.realism.distances import GROUPS, Floats, Quantity, Tally, mean
from smearsynth.realism.edge_profiles import OFFSETS, PROFILE
from smearsynth.realism.leakage import Leak, leakage, leakage_text
from smearsynth.realism.measures import FREQUENCIES, SPECTRUM, WINDOW, measure
from smearsynth.realism.views import EvenlyKept, Reals, Smears, same_size, take_reals, take_smears
from smearsynth.taxonomy import UM_PER_PX

_COLOURS = {"synthetic": "#c2410c", "real": "#1d4ed8"}
_FAR = 2.0
"""Times the distance between halves from which a row is marked."""


class Both(NamedTuple):
    """What was measured of the smears and of the real images."""

    synthetic: Tally
    real: Tally


def write_fidelity(path: Path, found: "Fidelity", both: Both, pictures: Sequence[Sequence[Pixels]]) -> None:
    """pictures: of the smears, and of the real images, all of one size."""
    facts, rows = found.figures(), found.rows
    titles = {"synthetic": "Smears", "real": "Real fields"}
    far = [number for number, row in enumerate(rows) if row.times is not None and row.times > _FAR]
    write_page(
        path,
        "realism/page.html",
        facts=facts,
        method=_method(facts),
        differs_most=differs_most(rows),
        sets=[
            (title, _COLOURS[name], [inline(picture, title, exact=True) for picture in shown])
            for (name, title), shown in zip(titles.items(), pictures, strict=True)
        ],
        table=HtmlTable(HEAD, [cells(row) for row in rows], texts=2, marked=far),
        plots=_plots(both),
        leakage=(LEAKAGE, leakage_text(found.leakage)) if found.leakage else None,
    )


def _method(facts: Mapping[str, Any]) -> str:
    low, median, high = facts["um_per_px"]
    by = "their masks and the smears' labels" if facts["masks"] else "Otsu's threshold on both sides"
    return (
        f"{facts['smears']} smears of the look {facts['look']}, {facts['images']} real images of {median:.3f} um/px "
        f"({low:.3f} to {high:.3f}) in {facts['crops']} crops, all at {UM_PER_PX:.2f} um/px. Cells are found by {by}."
    )


def _plots(both: Both) -> list[Inline]:
    """The spectrum, the edge's profile, and the distribution of each quantity that has a line of one slice."""
    return [
        _curve(both, SPECTRUM, FREQUENCIES / (WINDOW * UM_PER_PX), "power of lightness, dB", "cycles per um"),
        _curve(both, PROFILE, OFFSETS, "profile across an edge, glass to rim", "px"),
        *(_distribution(both, line) for line in LINES if line.slices[1] - line.slices[0] == 1),
    ]


def _curve(both: Both, quantity: Quantity, x: Any, title: str, unit: str) -> Inline:
    means = [mean(quantity, tally.counts(quantity)) for tally in both]
    return curves(x, _curves(means), title=title, unit=unit)


def _distribution(both: Both, line: Line) -> Inline:
    counts = [tally.counts(line.quantity)[line.slices[0]] for tally in both]
    return distribution(line.quantity.points, _curves(counts), title=line.name, unit=line.unit)


def _curves(values: Sequence[Floats]) -> list[Curve]:
    """Of the synthetic and the real side; the synthetic one is drawn last and lies on top."""
    synthetic, real = values
    return [Curve(real, _COLOURS["real"]), Curve(synthetic, _COLOURS["synthetic"])]


LEAKAGE = "Share of cells whose source is guessed from their stain, as it is -> as smears are coloured:"
SHOWN = 24
"""Smears, and as many real crops, on the page."""


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """smears: how many were measured, of `look`. images, crops: real ones. um_per_px: smallest, median and largest of
    the real images. masks: whether cells are what masks and labels say, or on both sides what Otsu's threshold finds.
    leakage: how well the stain of the dataset's cells betrays their source, empty where the set has no bank or each
    class comes from one source."""

    dataset: str
    against: str
    look: str
    smears: int
    images: int
    crops: int
    um_per_px: tuple[float, float, float]
    masks: bool
    rows: list[Row]
    leakage: list[Leak]
    page: str | None

    def figures(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def fidelity(
    dataset: str | Path,
    against: str | Path,
    *,
    um_per_px: str | float = "auto",
    look: str | None = None,
    samples: int = 200,
    out: str | Path | None = None,
    progress: bool = True,
) -> Fidelity:
    """How far the smears of a dataset are from real fields at 0.20 um/px.

    against: a folder with img/ and mask/, or any folder of images. um_per_px: of the real images, a number, a table's
    path, or "auto" (the median single red cell is 7.3 um). look: None is the first of the dataset. samples: at most so
    many smears, and so many real images, are measured, evenly taken from all. out: an HTML page to write. progress:
    bars on stderr, or lines in a log. Raises UserError.

    >>> found = smearsynth.fidelity("quickstart", "photos", um_per_px=0.2, samples=8, progress=False)
    >>> found.smears, found.images
    (8, 8)
    """
    if out is not None:
        layout.check_outside(Path(out))
    bank = Path(dataset) / layout.BANK
    smears = take_smears(Path(dataset), look, samples)
    reals = take_reals(Path(against), str(um_per_px), samples, progress=progress)
    ours, our_pictures = _measure_smears(smears, by_label=reals.masked, progress=progress)
    theirs, their_pictures, crops = _measure_reals(reals, smears.size, progress=progress)
    scales = np.percentile(reals.um_per_px, (0, 50, 100)).tolist()
    result = Fidelity(
        dataset=str(dataset),
        against=str(against),
        look=smears.look,
        smears=len(smears),
        images=len(reals),
        crops=crops,
        um_per_px=(scales[0], scales[1], scales[2]),
        masks=reals.masked,
        rows=compare(ours, theirs),
        leakage=leakage(load_bank(bank)) if layout.is_own_file(bank.parent, layout.BANK) else [],
        page=str(out) if out is not None else None,
    )
    if out is not None:
        write_fidelity(Path(out), result, Both(ours, theirs), same_size(our_pictures, their_pictures))
    return result


def _measure_smears(smears: Smears, *, by_label: bool, progress: bool) -> tuple[Tally, list[Pixels]]:
    tally, kept = Tally(QUANTITIES, 1), EvenlyKept[Pixels](SHOWN)
    bar = with_progress(
        smears.views(by_label=by_label), what="measure", unit="smears", total=len(smears), shown=progress
    )
    for view in bar:
        tally.add(measure(view), 0)
        kept.offer(view.image)
    return tally, kept.chosen()


def _measure_reals(reals: Reals, size: tuple[int, int], *, progress: bool) -> tuple[Tally, list[Pixels], int]:
    tally, kept, crops = Tally(QUANTITIES, min(GROUPS, len(reals))), EvenlyKept[Pixels](SHOWN), 0
    bar = with_progress(reals.views(size), what="measure", unit="real fields", total=len(reals), shown=progress)
    for views in bar:
        for view in views:
            tally.add(measure(view), view.origin % tally.groups)
            kept.offer(view.image)
            crops += 1
    return tally, kept.chosen(), crops


def as_text(found: Fidelity) -> str:
    """The table for a person, what differs most, and how well the stain of the cells betrays their source."""
    text = [*lines(found.rows), "", differs_most(found.rows)]
    if found.leakage:
        text += ["", LEAKAGE, leakage_text(found.leakage)]
    return "\n".join(text)
