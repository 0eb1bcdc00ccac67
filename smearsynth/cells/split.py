"""Divides cells into train, val and test, so that no group (patient, slide, image) stands in two of them.

Greedy, largest group first: each goes to the split that is furthest below its share. The shortfall is taken relative
to the share and summed over the classes that the group holds, with half of the group counted in. Absolute shortfalls
miss the bound by up to 39 points on real sources, because red cells outnumber all others and because train always lacks
most; without the half, a group larger than the val share lands in val as easily as in train.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from smearsynth import streams, taxonomy
from smearsynth.cells.bank import SPLITS
from smearsynth.cells.duplicates import Pair
from smearsynth.errors import UserError

TOLERANCE = 0.05
"""Largest difference between a class's share in a split and the recipe's; one cell where that is more."""

Counts = dict[int, Counter[int]]
"""Split -> class -> cells."""


def split_cells(
    class_ids: Sequence[int], groups: Sequence[str], *, shares: Sequence[float], seed: int
) -> npt.NDArray[np.uint8]:
    """Index into SPLITS for every cell, u1 (n,); independent of the order of the cells.

    groups: of each cell, after duplicates were merged. shares: of train, val and test; they add up to 1.
    Raises UserError where a class would have no cell in a split, or shares further off than TOLERANCE.
    """
    content: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for class_id, group in zip(class_ids, groups, strict=True):
        content[group][class_id] += 1
    total = Counter(class_ids)
    groups_left = Counter(class_id for counts in content.values() for class_id in counts)
    reached: Counts = {split: Counter() for split in range(len(SPLITS))}
    split_of = {}
    for group in sorted(content, key=lambda g: (-content[g].total(), streams.key(seed, "split", g), g)):
        counts = content[group]
        open_splits = _must_have(counts, reached, groups_left) or list(reached)
        split_of[group] = max(
            open_splits,
            key=lambda s: (
                _shortfall(counts, reached[s], total, shares[s]),
                streams.key(seed, "split", group, SPLITS[s]),
            ),
        )
        reached[split_of[group]] += counts
        groups_left -= Counter(dict.fromkeys(counts, 1))
    faults = [fault for class_id in sorted(total) for fault in _faults(class_id, reached, shares)]
    if faults:
        raise UserError("\n".join(faults))
    return np.array([split_of[group] for group in groups], np.uint8)


def assert_no_leak(groups: Sequence[str], split: npt.NDArray[np.uint8], pairs: Iterable[Pair] = ()) -> None:
    """Fails where a group, or a pair of duplicates, stands in two splits."""
    seen: dict[str, int] = {}
    for group, index in zip(groups, split.tolist(), strict=True):
        if seen.setdefault(group, index) != index:
            raise AssertionError(f"Group {group} stands in {SPLITS[seen[group]]} and in {SPLITS[index]}.")
    for pair in pairs:
        if split[pair.a] != split[pair.b]:
            raise AssertionError(f"Duplicates from {groups[pair.a]} and {groups[pair.b]} stand in two splits.")


def _must_have(counts: Counter[int], reached: Counts, groups_left: Counter[int]) -> list[int]:
    """Splits that have none of a class of this group, where as few groups of it are left as splits lack it."""
    lacking = {c: [s for s in reached if not reached[s][c]] for c in counts}
    scarce = [c for c in counts if groups_left[c] <= len(lacking[c])]
    return sorted({s for c in scarce for s in lacking[c]})


def _shortfall(counts: Counter[int], reached: Counter[int], total: Counter[int], share: float) -> float:
    return sum(1 - (reached[c] + counts[c] / 2) / (share * total[c]) for c in sorted(counts))


def _faults(class_id: int, reached: Counts, shares: Sequence[float]) -> list[str]:
    cells = [reached[s][class_id] for s in reached]
    n = sum(cells)
    bound = max(TOLERANCE * n, 1) + 1e-9
    if min(cells) > 0 and all(abs(have - share * n) <= bound for have, share in zip(cells, shares, strict=True)):
        return []
    name = taxonomy.CLASSES[class_id].key
    have = ", ".join(f"{split} {k}" for split, k in zip(SPLITS, cells, strict=True))
    want = "/".join(f"{share:g}" for share in shares)
    return [
        f"split: the {n} cells of {name} cannot be divided {want} without dividing a group (reached: {have}); "
        f"add cells of {name} from further patients or images, or change `split`."
    ]
