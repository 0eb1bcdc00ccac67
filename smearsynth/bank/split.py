"""Divides cells into train, val and test, so that no group (patient, slide, image) stands in two of them.

Greedy, largest group first: each goes to the split that is furthest below its share. The shortfall of a class is taken
relative to the share, with half of the group counted in, and summed over the classes with the group's cells as weights.
Absolute shortfalls miss the bound by up to 39 points on real sources, because red cells outnumber all others and
because train always lacks most; without the half, a group larger than the val share lands in val as easily as in train;
without the weights, one stray platelet decides where a patient's red cells go. On the real sources every class comes
within one point of its shares.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from smearsynth.bank.duplicates import DuplicatePair
from smearsynth.base import streams
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import CLASSES, SPLITS

TOLERANCE = 0.05
"""Largest difference between a class's share in a split and the recipe's; one cell where that is more."""

Counts = Counter[int]
"""Class id -> cells."""


def split_cells(
    class_ids: Sequence[int], groups: Sequence[str], *, shares: Sequence[float], seed: int
) -> npt.NDArray[np.uint8]:
    """Index into SPLITS for every cell, uint8 (n,); independent of the order of the cells.

    groups: of each cell, after duplicates were merged. shares: of train, val and test; each over 0, in all 1.
    Raises UserError where a class would have no cell in a split, or shares further off than TOLERANCE.
    """
    content: defaultdict[str, Counts] = defaultdict(Counter)
    for class_id, group in zip(class_ids, groups, strict=True):
        content[group][class_id] += 1
    split_of = _greedy(content, shares, seed)
    split = np.array([split_of[group] for group in groups], np.uint8)
    have = Counter(zip(class_ids, split.tolist(), strict=True))
    reached = {c: [have[c, number] for number in range(len(SPLITS))] for c in sorted(set(class_ids))}
    errors = [_error(class_id, cells, shares) for class_id, cells in reached.items() if not _fits(cells, shares)]
    if errors:
        raise UserError("\n".join(errors))
    return split


def assert_no_leak(groups: Sequence[str], split: npt.NDArray[np.uint8], pairs: Iterable[DuplicatePair] = ()) -> None:
    """Fails where a group, or a pair of duplicates, stands in two splits."""
    seen: dict[str, int] = {}
    for group, index in zip(groups, split.tolist(), strict=True):
        if seen.setdefault(group, index) != index:
            raise AssertionError(f"Group {group} stands in {SPLITS[seen[group]]} and in {SPLITS[index]}.")
    for pair in pairs:
        if split[pair.a] != split[pair.b]:
            raise AssertionError(f"Duplicates from {groups[pair.a]} and {groups[pair.b]} stand in two splits.")


def _greedy(content: dict[str, Counts], shares: Sequence[float], seed: int) -> dict[str, int]:
    """The split of each group; ties between groups and between splits go by a keyed hash."""
    total = sum(content.values(), Counter[int]())
    groups_left = Counter(class_id for cells in content.values() for class_id in cells)
    reached = [Counter[int]() for _ in SPLITS]
    split_of = {}
    for group in sorted(content, key=lambda g: (-content[g].total(), streams.key(seed, "split", g), g)):
        cells = content[group]
        rank = {
            split: (
                _shortfall(cells, reached[split], total, shares[split]),
                streams.key(seed, "split", group, SPLITS[split]),
            )
            for split in _must_have(cells, reached, groups_left) or range(len(SPLITS))
        }
        split_of[group] = max(rank, key=lambda split: rank[split])
        reached[split_of[group]] += cells
        groups_left -= Counter(dict.fromkeys(cells, 1))
    return split_of


def _must_have(cells: Counts, reached: Sequence[Counts], groups_left: Counts) -> list[int]:
    """Splits that have none of a class of this group, where as few groups of it are left as splits lack it."""
    lacking = {c: [split for split, have in enumerate(reached) if not have[c]] for c in cells}
    scarce = [c for c in cells if groups_left[c] <= len(lacking[c])]
    return sorted({split for c in scarce for split in lacking[c]})


def _shortfall(cells: Counts, reached: Counts, total: Counts, share: float) -> float:
    """Rounded once, so that no version of Python decides a tie by the way it sums."""
    return math.fsum(n * (1 - (reached[c] + n / 2) / (share * total[c])) for c, n in cells.items())


def _fits(have: Sequence[int], shares: Sequence[float]) -> bool:
    n = sum(have)
    bound = max(TOLERANCE * n, 1) + 1e-9
    return min(have) > 0 and all(abs(cells - share * n) <= bound for cells, share in zip(have, shares, strict=True))


def _error(class_id: int, have: Sequence[int], shares: Sequence[float]) -> str:
    name = CLASSES[class_id].key
    reached = ", ".join(f"{split} {cells}" for split, cells in zip(SPLITS, have, strict=True))
    wanted = "/".join(f"{share:g}" for share in shares)
    return (
        f"split: the {sum(have)} cells of {name} cannot be divided {wanted} without dividing a group "
        f"(reached: {reached}); add cells of {name} from further patients or images, or change `split`."
    )
