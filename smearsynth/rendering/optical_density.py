"""Optical density in fixed point: what a stain takes from the light, in 1/1024 of a halving.

Densities of overlapping absorbers add where their transmittances multiply (Beer and Lambert). Grey levels are taken as
they are stored, as all colour deconvolution of smears does. The densities of a pixel's three channels travel in one
64-bit word, 21 bits to each, so that they are weighted, added and limited together.
"""

import math

import numpy as np

from smearsynth.base.compiled import compiled
from smearsynth.base.fixed_point import HALVING, ONE, rounded

DARKEST = 8 * HALVING - 1
"""Largest density: it leaves one grey level of 255, and is all ones in binary, which `add` needs."""

DENSITY = np.array(rounded(-HALVING * math.log2(max(v, 1) / 255) for v in range(256)), np.int32)
"""int32 (256,): density of a grey level on a ground of 255; 0 is taken as 1."""

TRANSMITTANCE = np.array(rounded(ONE * 2 ** (-d / HALVING) for d in range(DARKEST + 1)), np.int32)
"""int32 (8192,): the share of light, in 1/65536, that a density 0 to DARKEST leaves."""

LANE = np.uint64(21)
"""Bits of a lane: a density times 256 fits."""
_8, _13 = np.uint64(8), np.uint64(13)
_ONES = np.uint64(1 | 1 << 21 | 1 << 42)
_HALVES = np.uint64(128) * _ONES
_DARKEST = np.uint64(DARKEST)
_DENSITIES = _DARKEST * _ONES


@compiled()
def density(colour):  # type: ignore[no-untyped-def]
    """Density of a colour in 1/256 grey level, up to 255 * 256, linear between whole grey levels."""
    grey, rest = colour >> 8, colour & 255
    above = DENSITY[min(grey + 1, 255)]
    return DENSITY[grey] + (((above - DENSITY[grey]) * rest) >> 8)


@compiled()
def lane(value, channel):  # type: ignore[no-untyped-def]
    """The word with this density, limited to 0 to DARKEST, in one channel and 0 in the others."""
    return np.uint64(min(max(value, 0), DARKEST)) << np.uint64(21 * channel)


@compiled()
def weigh(densities, share):  # type: ignore[no-untyped-def]
    """Every lane times share / 256, rounded; share: uint64, 0-256."""
    return ((densities * share + _HALVES) >> _8) & _DENSITIES


@compiled()
def add(a, b):  # type: ignore[no-untyped-def]
    """Every lane of a plus that of b, at most DARKEST."""
    total = a + b
    return (total | ((total >> _13) & _ONES) * _DARKEST) & _DENSITIES
