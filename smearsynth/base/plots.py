"""Plots by matplotlib, to stand inside a page: curves, and distributions.

A plot is an SVG in a data URI, so it is sharp at any size and the same bytes every time. matplotlib is imported with
the first plot: it takes half a second, for which commands without a page need not wait.
"""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smearsynth.base.html_page import Inline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.floating[Any]]

_INK, _LINE = "#645c6b", "#cfc9d4"
_SIZE = (3.0, 1.6)
"""Inches of a small plot; CSS counts 96 px in one."""


class Curve(NamedTuple):
    """y: (n,), or of a distribution the weights; a curve that is not finite is left out. filled: down to the axis."""

    y: Floats
    colour: str
    filled: bool = False


class Mark(NamedTuple):
    """A vertical line at x, with a name."""

    x: float
    name: str


def curves(x: Floats, shown: Sequence[Curve], *, title: str, unit: str) -> Inline:
    """Curves over x, (n,); the y axis has no numbers. The first curve is drawn below the others."""
    return _small_plot(x, shown, title=title, unit=unit)


def distribution(
    points: Floats,
    shown: Sequence[Curve],
    *,
    title: str,
    unit: str,
    marks: Sequence[Mark] = (),
    smooth: float = 0.015,
) -> Inline:
    """Distributions, each with weights (n,) at `points`, over the range that holds nearly all of them and every mark.

    smooth: width of the Gaussian that smooths them, as a share of what is shown.
    """
    with np.errstate(invalid="ignore"):
        shares = [curve.y / curve.y.sum() for curve in shown]
    whole = np.cumsum(np.sum(shares, axis=0)) / len(shares)
    first, last = np.searchsorted(whole, (0.002, 0.998)) if np.isfinite(whole).all() else (0, len(points) - 1)
    reach = np.searchsorted(points, [mark.x for mark in marks]).tolist()
    first, last = max(min(int(first), *reach, len(points)) - 4, 0), min(max(int(last), *reach, 0) + 5, len(points))
    smoothed = [
        curve._replace(y=_smoothed(y, smooth * (last - first))[first:last])
        for curve, y in zip(shown, shares, strict=True)
    ]
    return _small_plot(points[first:last], smoothed, title=title, unit=unit, marks=marks, bottom=0)


def _smoothed(share: Floats, sigma: float) -> Floats:
    reach = np.arange(-int(4 * sigma) - 1, int(4 * sigma) + 2)
    kernel = np.exp(-0.5 * np.square(reach / max(sigma, 0.5)))
    return np.convolve(share, kernel / kernel.sum(), mode="same")


def _small_plot(
    x: Floats, shown: Sequence[Curve], *, title: str, unit: str, marks: Sequence[Mark] = (), bottom: float | None = None
) -> Inline:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for curve in shown:
        if np.isfinite(curve.y).all():
            axes.plot(x, curve.y, color=curve.colour, linewidth=1.2)
            if curve.filled:
                axes.fill_between(x, curve.y, color=curve.colour, alpha=0.25, linewidth=0)
    for mark in marks:
        axes.axvline(mark.x, color="#222", linestyle="--", linewidth=0.8)
        # The name stands on the side that has more room.
        right = mark.x < (x[0] + x[-1]) / 2
        axes.annotate(
            mark.name,
            (mark.x, 1),
            xytext=(3 if right else -3, -1),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="left" if right else "right",
            va="top",
            fontsize=7,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
        )
    axes.set_title(title, fontsize=9, loc="left", color="#1f1b24")
    axes.set_xlabel(unit, fontsize=8, color=_INK, labelpad=1)
    axes.set(xlim=(x[0], x[-1]), ylim=(bottom, None), yticks=[])
    if marks:
        axes.set_ylim(top=1.2 * axes.get_ylim()[1])  # so that the names stand above the curves
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params(labelsize=8, colors=_INK, length=2)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    return inline_figure(figure, f"{title}, {unit}")


def inline_figure(figure: "Figure", alt: str) -> Inline:
    """A figure as part of a page."""
    from matplotlib import rc_context

    file = BytesIO()
    with rc_context({"svg.hashsalt": "smearsynth", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    data = f"data:image/svg+xml;base64,{b64encode(file.getvalue()).decode()}"
    return Inline(data=data, width=width, height=height, alt=alt)
