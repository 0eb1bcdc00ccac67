"""Small line plots of two sets as SVG, to stand inside a page."""

from collections.abc import Sequence
from html import escape

import numpy as np

from smearsynth.fidelity.tally import Floats

SYNTHETIC, REAL = "#c2410c", "#1d4ed8"
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 260, 130, 8, 18
_SMOOTH = 0.015
"""Width of the Gaussian that smooths a distribution, over what is shown of it."""


def plot(x: Floats, synthetic: Floats, real: Floats, *, title: str, unit: str, low: float, high: float) -> str:
    """Two curves over x, all (n,), from low to high on the y axis, which has no numbers where low is 0 (a density)."""
    shown = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{_points(x, y, low, high)}"/>'
        for y, colour in ((real, REAL), (synthetic, SYNTHETIC))
        if np.isfinite(y).all()
    )
    ticks = "".join(
        f'<text x="{at}" y="{_HEIGHT - 4}" text-anchor="{anchor}">{value:.3g}</text>'
        for at, anchor, value in ((_LEFT, "start", x[0]), (_WIDTH - _LEFT, "end", x[-1]))
    )
    axis = f'<path d="M{_LEFT} {_HEIGHT - _BOTTOM}H{_WIDTH - _LEFT}" stroke="#999" fill="none"/>'
    name = f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(unit)}</text>'
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'role="img">{axis}{shown}{ticks}{name}</svg></figure>'
    )


def distribution(points: Floats, synthetic: Floats, real: Floats, *, title: str, unit: str) -> str:
    """Two distributions, weights (n,) at `points`, smoothed, over the range that holds nearly all of both."""
    shares = [_share(counts) for counts in (synthetic, real)]
    both = np.cumsum(sum(shares)) / 2
    first, last = np.searchsorted(both, (0.002, 0.998)) if np.isfinite(both).all() else (0, len(points) - 1)
    first, last = max(int(first) - 4, 0), min(int(last) + 5, len(points))
    curves = [_smoothed(share, _SMOOTH * (last - first))[first:last] for share in shares]
    high = max([float(c.max()) for c in curves if np.isfinite(c).all()] or [1.0])
    return plot(points[first:last], *curves, title=title, unit=unit, low=0, high=high)


def _share(counts: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return counts / counts.sum()


def _smoothed(share: Floats, sigma: float) -> Floats:
    reach = np.arange(-int(4 * sigma) - 1, int(4 * sigma) + 2)
    kernel = np.exp(-0.5 * np.square(reach / max(sigma, 0.5)))
    return np.convolve(share, kernel / kernel.sum(), mode="same")


def _points(x: Floats, y: Floats, low: float, high: float) -> str:
    across = _LEFT + (x - x[0]) / (x[-1] - x[0]) * (_WIDTH - 2 * _LEFT)
    up = _HEIGHT - _BOTTOM - (np.clip(y, low, high) - low) / (high - low) * (_HEIGHT - _BOTTOM - 6)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up, strict=True))


def limits(*curves: Sequence[float] | Floats) -> tuple[float, float]:
    """Least and largest value of all curves, a little apart; 0 to 1 where there is none."""
    values = np.concatenate([np.asarray(c, np.float64) for c in curves])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    return float(values.min()) - 0.05, float(values.max()) + 0.05
