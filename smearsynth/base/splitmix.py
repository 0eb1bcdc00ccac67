"""SplitMix64 (Steele, Lea and Flood 2014): its constants, and its mixing of numpy arrays, in integers only.

`streams` draws by it in compiled loops, `segtrain.data` hashes by it on the host and on devices; neither needs what the
other imports.
"""

import numpy as np
import numpy.typing as npt

GAMMA = 0x9E3779B97F4A7C15
"""What the counter advances by."""
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""Shift and factor of each round."""
LAST_SHIFT = 31


def mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """uint64: what a stream in the states z draws next; 64 random-looking bits from 64 of any kind, one to one."""
    z = z + np.uint64(GAMMA)
    for shift, factor in ROUNDS:
        z = (z ^ (z >> np.uint64(shift))) * np.uint64(factor)
    return z ^ (z >> np.uint64(LAST_SHIFT))
