"""Splinters between cells, given to the cell that they lie along: parting leaves them where an outline is ragged, and
joining patches where one cell was seen as two."""

import numpy as np
import numpy.typing as npt

from segtrain.counting.contacts import Labels, contacts

_SPLINTER = 0.2
"""Share of the area of its family's smallest class under which a cell may be a splinter."""
_ALONG = 0.5
"""Share of a splinter's outline that lies along other cells, at least."""


def owners(cells: Labels, least: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """i8 (n + 1,): the cell that each one belongs to, itself mostly. cells: i4 (h, w), 0 = background, else 1 to n.
    least: f8 (n + 1,), px of a small whole cell of its family."""
    sizes = np.bincount(cells.ravel(), minlength=len(least))
    along = np.zeros(len(least)), np.zeros(len(least))
    owner, longest = np.arange(len(least)), np.zeros(len(least))
    pairs, lengths = np.unique(contacts(cells)[0], axis=0, return_counts=True)
    for one, other in (pairs.T, pairs.T[::-1]):
        np.add.at(along[0], one, lengths)
        np.add.at(along[1], one, np.where(other > 0, lengths, 0))
    splinter = (sizes < _SPLINTER * least) & (along[1] >= _ALONG * along[0]) & (along[1] > 0)
    for (i, j), length in zip(pairs.tolist(), lengths.tolist(), strict=True):
        for one, other in ((i, j), (j, i)):
            if splinter[one] and other and not splinter[other] and length > longest[one]:
                owner[one], longest[one] = other, length
    return owner
