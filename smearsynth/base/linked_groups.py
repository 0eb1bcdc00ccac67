"""Groups that a split must not divide, joined where something that two of them have in common makes them one."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def merge_groups(groups: Sequence[str], links: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """The group of each item after the groups of all linked items became one; it is named after the first in order.

    links: pairs of items, by their place in `groups`.

    >>> merge_groups(["c", "b", "a", "d"], [(0, 1), (1, 2)])
    ('a', 'a', 'a', 'd')
    """
    names, number = np.unique(np.array(groups, dtype=object), return_inverse=True)
    ends = number[np.array(list(links), np.int64).reshape(-1, 2)]
    graph = coo_array((np.ones(len(ends), np.int8), tuple(ends.T)), shape=(len(names), len(names)))
    _, part = connected_components(graph, directed=False)
    _, first = np.unique(part, return_index=True)
    return tuple(names[first[part[number]]])
