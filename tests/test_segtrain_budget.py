"""A budget of images: every one is counted, and every pass over the samples is whole."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from shard_set import write_set

from segtrain.data.augmentation import AugmentSpec
from segtrain.data.dataloader import Loader
from segtrain.data.sampler import Budget, budget_batches, order
from segtrain.data.samples import Shards


@given(samples=st.integers(1, 40), images=st.integers(2, 300), epochs=st.integers(1, 9), batch=st.integers(2, 16))
def test_batches_add_up_to_the_images_in_whole_shuffled_passes(
    samples: int, images: int, epochs: int, batch: int
) -> None:
    if images < epochs:
        return
    numbers, budget = np.arange(samples) * 3, Budget(images, epochs)
    plans = [budget_batches(numbers, batch, budget, seed=1, epoch=epoch) for epoch in range(epochs)]
    sizes = [len(step) for plan in plans for step in plan]
    assert sum(sizes) == images
    assert {len(plan) for plan in plans} == {budget.steps(batch)}
    assert 1 <= min(sizes) <= max(sizes) <= min(min(sizes) + 1, batch)
    stream = np.concatenate([step for plan in plans for step in plan])
    for number in range(images // samples):
        found = stream[number * samples : (number + 1) * samples]
        assert found.tolist() == (order(samples, 1, number) * 3).tolist(), "every pass has every sample once"


def test_a_sample_that_comes_twice_in_an_epoch_is_varied_anew(tmp_path: Path) -> None:
    shards = Shards(write_set(tmp_path / "set", size=(16, 16), train=3, val=1), "train")
    spec = AugmentSpec(noise_range=(1.0, 20.0))
    loader = Loader(shards, batch=3, shuffle=True, augment=spec, budget=Budget(12, 1), workers=0)
    seen, again = ([i.numpy().tobytes() for b in loader.epoch(0, start) for i in b.image] for start in (0, 2))
    assert len(set(seen)) == 12
    assert again == seen[6:], "a resumed epoch goes on with the same batches"
