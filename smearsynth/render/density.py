"""Optical density in fixed point: what a stain takes from the light, in 1/1024 of a halving.

Densities of overlapping absorbers add where their transmittances multiply (Beer and Lambert). Grey levels are taken as
they are stored, as all colour deconvolution of smears does.
"""

import math

import numpy as np

from smearsynth.compiled import compiled
from smearsynth.fixed_point import ONE, rounded

HALVING = 1024
"""Density of an absorber that halves the light."""
DARKEST = 16 * HALVING
"""Density from which on nothing of 8 bits is left."""

DENSITY = np.array(rounded(-HALVING * math.log2(max(v, 1) / 255) for v in range(256)), np.int32)
"""i4 (256,): density of a grey level on a ground of 255; 0 is taken as 1."""

TRANSMITTANCE = np.array(rounded(ONE * 2 ** (-d / HALVING) for d in range(DARKEST + 1)), np.int32)
"""i4 (16385,): the share of light, in 1/65536, that a density 0 to DARKEST leaves."""


@compiled()
def density(colour):  # type: ignore[no-untyped-def]
    """Density of a colour in 1/256 grey level, up to 255 * 256, linear between whole grey levels."""
    grey, rest = colour >> 8, colour & 255
    above = DENSITY[min(grey + 1, 255)]
    return DENSITY[grey] + (((above - DENSITY[grey]) * rest) >> 8)
