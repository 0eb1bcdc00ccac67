"""Where the regions of a label map meet."""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]
"""i4 (h, w): a region's number at each pixel."""
Numbers = npt.NDArray[np.int64]
_NEIGHBOURS = ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1]))


def contacts(label: Labels) -> tuple[Numbers, Numbers]:
    """Every pair of 4-neighbours of different regions, as i8 (n, 2) twice: the regions' numbers, the smaller first, and
    the places of the two pixels in the flat map."""
    place = np.arange(label.size).reshape(label.shape)
    meet = [(label[one] != label[other], one, other) for one, other in _NEIGHBOURS]
    places = np.concatenate([np.stack([place[one][m], place[other][m]], axis=1) for m, one, other in meet])
    numbers = label.ravel()[places].astype(np.int64)
    return np.sort(numbers, axis=1), places
