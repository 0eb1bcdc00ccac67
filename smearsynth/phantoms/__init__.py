"""Drawn cells in the layouts of the real databases, so that everything runs without any of them."""

from smearsynth.phantoms.write import write_sources

__all__ = ["write_sources"]
