"""Which samples make which batch: whole shuffled passes, shared among ranks, a pure function of seed and epoch."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segtrain.data.keyed_random import keys, uniforms
from segtrain.data.sampler import Budget, budget_batches, evaluation_batches, shuffled_order, training_batches

GOLDEN_ORDER = [0, 11, 9, 1, 6, 3, 5, 4, 10, 2, 8, 7]
GOLDEN_KEY = 15020427595393229491


class TestOrder:
    @given(n=st.integers(0, 300), seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 10**6))
    def test_is_a_permutation_and_a_pure_function(self, n: int, seed: int, epoch: int) -> None:
        first = shuffled_order(n, seed, epoch)
        assert sorted(first.tolist()) == list(range(n))
        np.testing.assert_array_equal(first, shuffled_order(n, seed, epoch))

    def test_is_golden(self) -> None:
        """A resumed run must find the order it left, whatever numpy is installed."""
        assert shuffled_order(12, 0, 0).tolist() == GOLDEN_ORDER
        assert keys(1, 2, np.array([3])).tolist() == [GOLDEN_KEY]

    def test_differs_by_seed_and_epoch_and_leaves_nothing_in_place(self) -> None:
        orders = {tuple(shuffled_order(50, seed, epoch)) for seed in range(10) for epoch in range(10)}
        assert len(orders) == 100
        home = np.mean([shuffled_order(50, 3, epoch) == np.arange(50) for epoch in range(200)])
        assert home == pytest.approx(1 / 50, abs=0.006)

    def test_draws_are_even_and_those_of_neighbours_unrelated(self) -> None:
        u = uniforms(keys(0, 0, np.arange(20_000)), 3)
        assert u.min() >= 0
        assert u.max() < 1
        np.testing.assert_allclose(np.histogram(u[:, 0], bins=10, range=(0, 1))[0], 2000, atol=200)
        related = np.corrcoef([u[:-1, 0], u[1:, 0], u[:-1, 1], u[:-1, 2]]) - np.eye(4)
        assert np.abs(related).max() < 0.03

    @given(n=st.integers(0, 200), batch=st.integers(1, 40), world=st.integers(1, 5), epoch=st.integers(0, 50))
    def test_training_ranks_share_evenly(self, n: int, batch: int, world: int, epoch: int) -> None:
        samples = np.arange(n) * 3
        ranks = [training_batches(samples, batch, seed=1, epoch=epoch, rank=rank, world=world) for rank in range(world)]
        assert len({tuple(map(len, batches)) for batches in ranks}) == 1
        seen = [int(i) for batches in ranks for step in batches for i in step]
        assert len(set(seen)) == len(seen) == n - n % world
        assert set(seen) <= set(samples.tolist())
        assert all(1 <= len(step) <= batch for step in ranks[0])
        one = training_batches(samples[: n - n % world], batch * world, seed=1, epoch=epoch)
        if n % world == 0:
            together = [np.concatenate(steps) for steps in zip(*ranks, strict=True)]
            assert [sorted(step.tolist()) for step in one] == [sorted(step.tolist()) for step in together]

    @given(n=st.integers(0, 200), batch=st.integers(1, 40), world=st.integers(1, 5))
    def test_evaluation_ranks_see_every_sample_once(self, n: int, batch: int, world: int) -> None:
        samples = np.arange(n) + 7
        ranks = [evaluation_batches(samples, batch, rank=rank, world=world) for rank in range(world)]
        assert [int(i) for batches in ranks for step in batches for i in step] == samples.tolist()


@given(samples=st.integers(1, 40), images=st.integers(2, 300), epochs=st.integers(1, 9), batch=st.integers(2, 16))
def test_batches_of_a_budget_add_up_to_the_images_in_whole_shuffled_passes(
    samples: int, images: int, epochs: int, batch: int
) -> None:
    assume(images >= epochs)
    numbers, budget = np.arange(samples) * 3, Budget(images, epochs)
    plans = [budget_batches(numbers, batch, budget, seed=1, epoch=epoch) for epoch in range(epochs)]
    sizes = [len(step) for plan in plans for step in plan]
    assert sum(sizes) == images
    assert {len(plan) for plan in plans} == {budget.steps(batch)}
    assert 1 <= min(sizes) <= max(sizes) <= min(min(sizes) + 1, batch)
    stream = np.concatenate([step for plan in plans for step in plan])
    for number in range(images // samples):
        found = stream[number * samples : (number + 1) * samples]
        assert found.tolist() == (shuffled_order(samples, 1, number) * 3).tolist(), "every pass has every sample once"
