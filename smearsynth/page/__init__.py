"""Pages that need nothing but themselves: one HTML file, pictures and plots inside it, no script and no network."""

from smearsynth.page.frame import write_page
from smearsynth.page.pictures import Inline, inline, inline_indexed
from smearsynth.page.plots import Curve, Mark, distribution, limits, plot

__all__ = ["Curve", "Inline", "Mark", "distribution", "inline", "inline_indexed", "limits", "plot", "write_page"]
