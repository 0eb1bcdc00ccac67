"""Power spectrum of lightness, averaged over all directions: how much there is of each fineness of detail."""

from typing import cast

import numpy as np

from smearsynth.fidelity.tally import Floats, Quantity, Weighted
from smearsynth.fidelity.view import View

WINDOW = 64
"""Side of a window, px: 12.8 um, nearly two red cells."""
FREQUENCIES = np.arange(1, WINDOW // 2)
"""Cycles per window that are measured."""
SPECTRUM = Quantity(key="power_spectrum", low=-60, high=60, slices=len(FREQUENCIES))

_HANN = np.outer(np.hanning(WINDOW + 1)[:-1], np.hanning(WINDOW + 1)[:-1])
_RADIUS = np.rint(np.hypot(np.fft.fftfreq(WINDOW)[:, None], np.fft.rfftfreq(WINDOW)) * WINDOW).astype(int)
_SILENCE = 1e-6
"""Power, L* squared, under which an image is taken for empty: that of quantisation to 8 bits is 0.01."""


def measure_spectrum(view: View) -> dict[Quantity, Weighted]:
    """Power in dB over one L* squared per px, by Welch's method: windows that overlap by half, weighted by Hann's.

    A view is at least as large as a window.
    """
    light = view.lightness
    assert min(light.shape) >= WINDOW
    shape = (WINDOW, WINDOW)
    windows = np.lib.stride_tricks.sliding_window_view(light, shape)[:: WINDOW // 2, :: WINDOW // 2].reshape(-1, *shape)
    power = np.zeros_like(_RADIUS, np.float64)
    for window in windows:
        power += np.square(np.abs(np.fft.rfft2((window - window.mean()) * _HANN)))
    power /= len(windows) * np.square(_HANN).sum()
    rings = np.bincount(_RADIUS.ravel(), power.ravel()) / np.bincount(_RADIUS.ravel())
    decibels = 10 * np.log10(np.maximum(rings[FREQUENCIES], _SILENCE))
    return {SPECTRUM: Weighted(cast(Floats, decibels)[:, None], np.ones(1))}
