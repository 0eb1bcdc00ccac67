"""Whether a network is right as often as it believes, as a picture."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

_RIGHT, _PIXELS = "#5b3a8c", "#b9b2c0"
_LEAST = 1e-4
"""Share of all pixels under which a bin has no point: it would be chance."""


def reliability(bins: Sequence[Mapping[str, float]]) -> Figure:
    """Above, share of the pixels that are right over their mean confidence, with the diagonal of a network that knows
    itself; below, how many pixels there are. bins: of equal width over 0 to 1, as `CalibrationError` reports them."""
    width, total = 1 / len(bins), sum(b["pixels"] for b in bins)
    held = [(i, b) for i, b in enumerate(bins) if b["pixels"]]
    known = [b for _, b in held if b["pixels"] >= _LEAST * total]
    figure = Figure(figsize=(4.6, 4.8), dpi=110, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1, label="as sure as right")
    confidence, accuracy = ([b[name] for b in known] for name in ("confidence", "accuracy"))
    above.plot(confidence, accuracy, color=_RIGHT, marker="o", markersize=5, clip_on=False, label="this network")
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    above.legend(fontsize=8, loc="upper left", frameon=False)
    below.bar(
        [(i + 0.5) * width for i, _ in held],
        [100 * b["pixels"] / total for _, b in held],
        width=0.9 * width,
        color=_PIXELS,
    )
    below.set(xlabel="confidence", ylabel="pixels, %", ylim=(0, None))
    for axes in (above, below):
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
    return figure
