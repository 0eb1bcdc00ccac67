"""The split: groups whole, shares kept, no dependence on order; on drawn counts and on the real groups."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from smearsynth.bank.duplicates import DuplicatePair
from smearsynth.bank.split import TOLERANCE, assert_no_leak, split_cells
from smearsynth.base.errors import UserError
from smearsynth.taxonomy import BY_KEY

SHARES = (0.8, 0.1, 0.1)
SOURCES = Path(__file__).parents[2] / "shared" / "sources"

SINGLES = [{c: 1} for c in range(1, 10) for _ in range(40)]
"""Cells that come one by one, so that most examples can be divided."""

groups_of_cells = st.lists(st.dictionaries(st.integers(1, 9), st.integers(1, 12), min_size=1), min_size=1, max_size=25)


def flat(contents: list[dict[int, int]]) -> tuple[list[int], list[str]]:
    rows = [(c, f"g{i}") for i, content in enumerate(contents) for c, n in content.items() for _ in range(n)]
    return [c for c, _ in rows], [g for _, g in rows]


def split_or_skip(class_ids: list[int], groups: list[str], seed: int) -> np.ndarray:
    """The split, or no example where these groups cannot be divided."""
    try:
        return split_cells(class_ids, groups, shares=SHARES, seed=seed)
    except UserError:
        reject()


def table(class_ids: list[int], split: np.ndarray) -> dict[int, list[int]]:
    have = Counter(zip(class_ids, split.tolist(), strict=True))
    return {c: [have[c, s] for s in range(3)] for c in set(class_ids)}


def assert_fair(class_ids: list[int], groups: list[str], split: np.ndarray) -> None:
    """Groups are whole, and every class has its share in every split."""
    assert len(set(zip(groups, split.tolist(), strict=True))) == len(set(groups))
    for have in table(class_ids, split).values():
        assert min(have) >= 1
        for cells, share in zip(have, SHARES, strict=True):
            assert abs(cells - share * sum(have)) <= max(TOLERANCE * sum(have), 1) + 1e-6


@settings(max_examples=25)
@given(groups_of_cells, st.integers(0, 3))
def test_groups_stay_whole_and_every_class_has_its_share_in_every_split(contents, seed):
    class_ids, groups = flat(contents + SINGLES)
    assert_fair(class_ids, groups, split_or_skip(class_ids, groups, seed))


@settings(max_examples=15)
@given(groups_of_cells, st.randoms(use_true_random=False))
def test_the_order_of_the_cells_does_not_matter(contents, random):
    class_ids, groups = flat(contents + SINGLES)
    order = list(range(len(groups)))
    random.shuffle(order)
    straight = split_or_skip(class_ids, groups, 0)
    shuffled = split_cells([class_ids[i] for i in order], [groups[i] for i in order], shares=SHARES, seed=0)
    assert straight[order].tolist() == shuffled.tolist()


@pytest.mark.parametrize("n", range(5, 41))
def test_a_class_of_few_single_cells_reaches_every_split(n):
    split = split_cells([1] * n, [f"g{i}" for i in range(n)], shares=SHARES, seed=0)
    have = np.bincount(split, minlength=3)
    assert have.min() >= 1
    assert np.abs(have - n * np.array(SHARES)).max() <= max(TOLERANCE * n, 1) + 1e-6


def test_the_last_groups_of_a_scarce_class_are_kept_for_the_splits_without_it():
    contents = [{1: 20, 2: 2}] * 3 + [{1: 1}] * 200 + [{2: 1}] * 14
    class_ids, groups = flat(contents)
    assert min(table(class_ids, split_cells(class_ids, groups, shares=SHARES, seed=1))[2]) >= 1


def test_one_patient_larger_than_val_goes_to_train():
    class_ids, groups = flat([{8: 30}, {8: 20}, *[{8: 5}] * 10])
    split = split_cells(class_ids, groups, shares=SHARES, seed=0)
    assert split[groups.index("g0")] == split[groups.index("g1")] == 0


def test_too_few_patients_end_in_a_sentence_with_counts_and_remedy():
    class_ids, groups = flat([{5: 50}, {5: 50}])
    with pytest.raises(UserError, match=r"100 cells of monocyte .*train \d+, val \d+, test \d+.*add cells of monocyte"):
        split_cells(class_ids, groups, shares=SHARES, seed=0)


@pytest.mark.parametrize("seed", range(20))
def test_mixed_patients_of_all_sizes_can_be_divided(seed):
    """Forty patients with up to 30 cells of one class and a few of others, and images of single cells."""
    random = np.random.default_rng(seed)
    contents = [
        {8: int(30 / (k + 1)) + 1, int(random.integers(1, 8)): 2, 9: int(random.integers(1, 20))} for k in range(40)
    ]
    class_ids, groups = flat(contents + SINGLES)
    assert_fair(class_ids, groups, split_cells(class_ids, groups, shares=SHARES, seed=seed))


def test_the_seed_decides_between_equal_groups():
    class_ids, groups = flat([{1: 1}] * 100)
    first, second = (split_cells(class_ids, groups, shares=SHARES, seed=seed) for seed in (0, 1))
    assert first.tolist() != second.tolist()
    assert np.bincount(first).tolist() == np.bincount(second).tolist() == [80, 10, 10]


def test_a_divided_group_or_pair_of_duplicates_is_a_leak():
    split = np.array([0, 0, 1], np.uint8)
    assert_no_leak(["a", "a", "b"], split, [DuplicatePair(0, 1, 1.0, 1.0)])
    with pytest.raises(AssertionError, match="Group a stands in train and in val"):
        assert_no_leak(["a", "b", "a"], split)
    with pytest.raises(AssertionError, match="Duplicates from b and c"):
        assert_no_leak(["a", "b", "c"], split, [DuplicatePair(1, 2, 0.99, 0.9)])


@pytest.mark.skipif(not (SOURCES / "kaggle").is_dir(), reason="no ../shared/sources/kaggle")
def test_real_patients_and_images_come_within_one_point_of_the_shares():
    """Kaggle's 132 patients hold infected and healthy cells; a PBC image holds one named cell and some red ones."""
    rows = [
        (BY_KEY["infected_rbc" if p.parent.name == "Parasitized" else "healthy_rbc"].id, re.match(r"C\d+", p.name)[0])
        for p in (SOURCES / "kaggle").rglob("*.png")
    ]
    for p in (SOURCES / "pbc").rglob("*.jpg"):
        name = {"platelet": "thrombocyte"}.get(p.parent.name, p.parent.name)
        rows += [(BY_KEY[name].id, p.name), *[(BY_KEY["healthy_rbc"].id, p.name)] * (p.stat().st_size % 5)]
    class_ids, groups = [c for c, _ in rows], [g for _, g in rows]
    for have in table(class_ids, split_cells(class_ids, groups, shares=SHARES, seed=0)).values():
        assert np.abs(np.array(have) / sum(have) - SHARES).max() <= 0.01
