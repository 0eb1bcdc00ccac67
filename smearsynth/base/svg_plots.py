"""Small plots of curves as SVG, to stand inside a page."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

Floats = npt.NDArray[np.floating[Any]]

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 260, 130, 8, 18


class Curve(NamedTuple):
    """y: (n,), or of a distribution the weights; a curve that is not finite is left out. filled: down to the axis."""

    y: Floats
    colour: str
    filled: bool = False


class Mark(NamedTuple):
    """A vertical line at x, with a name."""

    x: float
    name: str


def plot(
    x: Floats, curves: Sequence[Curve], *, title: str, unit: str, low: float, high: float, marks: Sequence[Mark] = ()
) -> Markup:
    """A figure of curves over x, (n,), from low to high on the y axis, which has no numbers; the first lies lowest."""
    # The names of marks stand above the curves.
    top = 20 if marks else 6
    shown = [_line(x, curve, low, high, top) for curve in curves if np.isfinite(curve.y).all()]
    lines = [_mark(_across(x, np.array(mark.x)), mark.name) for mark in marks if x[0] <= mark.x <= x[-1]]
    ticks = [
        Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(at, _HEIGHT - 4, anchor, text)
        for at, anchor, text in (
            (_LEFT, "start", _tick(x[0])),
            (_WIDTH // 2, "middle", unit),
            (_WIDTH - _LEFT, "end", _tick(x[-1])),
        )
    ]
    axis = Markup('<path d="M{} {}H{}" stroke="#999" fill="none"/>').format(_LEFT, _HEIGHT - _BOTTOM, _WIDTH - _LEFT)
    return Markup(
        '<figure class="plot"><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
        "</figure>"
    ).format(title, _WIDTH, _HEIGHT, f"{title}, {unit}", Markup("").join([axis, *shown, *lines, *ticks]))


def distribution(
    points: Floats,
    curves: Sequence[Curve],
    *,
    title: str,
    unit: str,
    marks: Sequence[Mark] = (),
    smooth: float = 0.015,
) -> Markup:
    """A figure of distributions, each with weights (n,) at `points`, over the range that holds nearly all of them and
    every mark. smooth: width of the Gaussian that smooths them, over what is shown."""
    shares = [_share(curve.y) for curve in curves]
    whole = np.cumsum(np.sum(shares, axis=0)) / len(shares)
    first, last = np.searchsorted(whole, (0.002, 0.998)) if np.isfinite(whole).all() else (0, len(points) - 1)
    reach = np.searchsorted(points, [mark.x for mark in marks]).tolist()
    first, last = max(min(int(first), *reach, len(points)) - 4, 0), min(max(int(last), *reach, 0) + 5, len(points))
    smoothed = [_smoothed(share, smooth * (last - first))[first:last] for share in shares]
    high = max([float(y.max()) for y in smoothed if np.isfinite(y).all()] or [1.0])
    drawn = [curve._replace(y=y) for curve, y in zip(curves, smoothed, strict=True)]
    return plot(points[first:last], drawn, title=title, unit=unit, low=0, high=high, marks=marks)


def limits(*curves: Sequence[float] | Floats) -> tuple[float, float]:
    """Least and largest value of all curves, a little apart; 0 to 1 where there is none."""
    values = np.concatenate([np.asarray(c, np.float64) for c in curves])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    return float(values.min()) - 0.05, float(values.max()) + 0.05


def _tick(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _share(weights: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return weights / weights.sum()


def _smoothed(share: Floats, sigma: float) -> Floats:
    reach = np.arange(-int(4 * sigma) - 1, int(4 * sigma) + 2)
    kernel = np.exp(-0.5 * np.square(reach / max(sigma, 0.5)))
    return np.convolve(share, kernel / kernel.sum(), mode="same")


def _line(x: Floats, curve: Curve, low: float, high: float, top: int) -> Markup:
    across = _across(x, x)
    up = _HEIGHT - _BOTTOM - (np.clip(curve.y, low, high) - low) / (high - low) * (_HEIGHT - _BOTTOM - top)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up, strict=True))
    line = Markup('<polyline fill="none" stroke="{}" stroke-width="1.5" points="{}"/>').format(curve.colour, points)
    if not curve.filled:
        return line
    ground = f"{across[0]:.1f},{_HEIGHT - _BOTTOM} {points} {across[-1]:.1f},{_HEIGHT - _BOTTOM}"
    area = Markup('<polygon fill="{}" fill-opacity=".25" points="{}"/>').format(curve.colour, ground)
    return area + line


def _mark(across: Floats, name: str) -> Markup:
    """The name stands on the side of the line that has more room."""
    anchor, apart = ("start", 4) if across < _WIDTH / 2 else ("end", -4)
    return Markup(
        '<path d="M{:.1f} 4V{}" stroke="#222" stroke-dasharray="3 2" fill="none"/>'
        '<text x="{:.1f}" y="12" text-anchor="{}">{}</text>'
    ).format(float(across), _HEIGHT - _BOTTOM, float(across) + apart, anchor, name)


def _across(x: Floats, value: Floats) -> Floats:
    return _LEFT + (value - x[0]) / (x[-1] - x[0]) * (_WIDTH - 2 * _LEFT)
