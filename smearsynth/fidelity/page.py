"""One HTML page that needs nothing else: smears beside real crops, the table, and small plots."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from smearsynth.fidelity.edges import OFFSETS, PROFILE
from smearsynth.fidelity.measures import LINES, Line, Row
from smearsynth.fidelity.plots import REAL, SYNTHETIC, distribution, limits, plot
from smearsynth.fidelity.spectrum import FREQUENCIES, SPECTRUM, WINDOW
from smearsynth.fidelity.table import HEAD, cells, differs_most
from smearsynth.fidelity.tally import Quantity, Tally, mean
from smearsynth.images import Pixels
from smearsynth.taxonomy import UM_PER_PX

_STYLE = f"""
body {{ font: 14px/1.45 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 1500px; padding: 0 1rem }}
h1 {{ font-size: 1.4rem }} h2 {{ font-size: 1.1rem; margin-top: 2rem }}
.sets {{ display: grid; grid-template-columns: 1fr 1fr; gap: 2rem }}
.set {{ display: grid; grid-template-columns: repeat(4, 1fr); gap: 4px }}
.set img {{ width: 100%; display: block }}
table {{ border-collapse: collapse }}
td, th {{ padding: 2px 12px; text-align: right; border-bottom: 1px solid #ddd }}
td:first-child, td:nth-child(2), th:first-child, th:nth-child(2) {{ text-align: left }}
.far {{ background: #fde8dc }}
.plots {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 12px }}
figure {{ margin: 0 }} figcaption {{ font-size: 12px }} svg text {{ font: 10px sans-serif; fill: #555 }}
.synthetic {{ color: {SYNTHETIC} }} .real {{ color: {REAL} }}
"""
_FAR = 2.0
"""Times the distance between halves from which a row is marked."""


class Both(NamedTuple):
    """What was measured of the smears and of the real images."""

    synthetic: Tally
    real: Tally


def write_page(
    path: Path, facts: Mapping[str, Any], rows: Sequence[Row], both: Both, pictures: Sequence[Sequence[Pixels]]
) -> None:
    """facts: of both sets, as `compare.Fidelity` names them. pictures: of the smears, and of the real images, all of
    one size."""
    body = [
        f"<h1>Smears of {escape(facts['dataset'])} beside real fields of {escape(facts['against'])}</h1>",
        f"<p>{escape(_facts(facts))}</p>",
        f"<p>{escape(differs_most(rows))}</p>",
        _gallery(*pictures),
        "<h2>Distances</h2>",
        "<p>Distance: earth mover's, in the unit of the row. Halves: the same between two halves of the real images. "
        "Times: distance over halves.</p>",
        _table(rows),
        '<h2>Distributions: <span class="synthetic">synthetic</span>, <span class="real">real</span></h2>',
        f'<div class="plots">{"".join(_plots(both))}</div>',
    ]
    head = f'<meta charset="utf-8"><title>Fidelity of {escape(facts["dataset"])}</title><style>{_STYLE}</style>'
    page = f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{chr(10).join(body)}\n</body></html>\n'
    path.write_text(page, encoding="utf-8")


def _facts(facts: Mapping[str, Any]) -> str:
    low, median, high = facts["um_per_px"]
    told = "their masks and the smears' labels" if facts["masks"] else "Otsu's threshold on both sides"
    return (
        f"{facts['smears']} smears of the look {facts['look']}, {facts['images']} real images of {median:.3f} um/px "
        f"({low:.3f} to {high:.3f}) in {facts['crops']} crops, all at {UM_PER_PX:.2f} um/px. Cells are told by {told}."
    )


def _gallery(synthetic: Sequence[Pixels], real: Sequence[Pixels]) -> str:
    return f'<div class="sets">{_set("synthetic", "Smears", synthetic)}{_set("real", "Real fields", real)}</div>'


def _set(name: str, title: str, pictures: Sequence[Pixels]) -> str:
    inline = "".join(_inline(picture, title) for picture in pictures)
    return f'<div><h2 class="{name}">{title}</h2><div class="set">{inline}</div></div>'


def _inline(picture: Pixels, title: str) -> str:
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return f'<img alt="{title}" src="data:image/png;base64,{b64encode(file.getvalue()).decode()}">'


def _table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in HEAD)
    lines = []
    for row in rows:
        far = ' class="far"' if row.times is not None and row.times > _FAR else ""
        lines.append(f"<tr{far}>" + "".join(f"<td>{escape(text)}</td>" for text in cells(row)) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{chr(10).join(lines)}</tbody></table>"


def _plots(both: Both) -> list[str]:
    """The spectrum, the edge's profile, and the distribution of each quantity that has a line of one slice."""
    return [
        _curve(both, SPECTRUM, FREQUENCIES / (WINDOW * UM_PER_PX), "power of lightness, dB", "cycles per um"),
        _curve(both, PROFILE, OFFSETS, "profile across an edge, glass to rim", "px"),
        *(_distribution(both, line) for line in LINES if line.slices[1] - line.slices[0] == 1),
    ]


def _curve(both: Both, quantity: Quantity, x: Any, title: str, unit: str) -> str:
    curves = [mean(quantity, tally.counts(quantity)) for tally in both]
    low, high = limits(*curves)
    return plot(x, *curves, title=title, unit=unit, low=low, high=high)


def _distribution(both: Both, line: Line) -> str:
    counts = [tally.counts(line.quantity)[line.slices[0]] for tally in both]
    return distribution(line.quantity.points, *counts, title=line.name, unit=line.unit)
