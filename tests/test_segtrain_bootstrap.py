"""Intervals by bootstrap: against a second one that adds up image by image, and against what theory says."""

import math
import warnings

import numpy as np
import pytest
import torch

from segtrain.metrics.bootstrap import RESAMPLES, bootstrap, by_unit
from segtrain.metrics.confusion import Confusion, class_scores, per_image, scores, whole_scores

RNG = np.random.default_rng(3)


def matrices(images: int, classes: int = 3) -> np.ndarray:
    found = RNG.integers(0, 40, (images, classes, classes))
    # The last class is in a single image, and so in no more than about two thirds of the resamples.
    found[1:, -1, :] = found[1:, :, -1] = 0
    return found


def iou(sums: np.ndarray) -> np.ndarray:
    return class_scores(torch.from_numpy(sums))["iou"].numpy()


def naive(images: np.ndarray, units: list[int], seed: int) -> list[tuple[float, float]]:
    """The interval of each class's IoU, one resample after another, one pixel count after another."""
    generator, names, classes = np.random.default_rng(seed), sorted(set(units)), images.shape[1]
    found: list[list[float]] = [[] for _ in range(classes)]
    for _ in range(RESAMPLES):
        drawn = [names[i] for i in generator.integers(len(names), size=len(names))]
        whole = [[0] * classes for _ in range(classes)]
        for name in drawn:
            for image in (image for image, unit in zip(images.tolist(), units, strict=True) if unit == name):
                for row in range(classes):
                    for column in range(classes):
                        whole[row][column] += image[row][column]
        for c in range(classes):
            either = sum(whole[c]) + sum(row[c] for row in whole) - whole[c][c]
            if either:
                found[c].append(whole[c][c] / either)
    return [(at(values, 0.025), at(values, 0.975)) for values in map(sorted, found)]


def at(values: list[float], share: float) -> float:
    """A quantile, between its two neighbours in proportion."""
    place = share * (len(values) - 1)
    low, high = values[math.floor(place)], values[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


@pytest.mark.parametrize("units", [list(range(12)), [5, 5, 7, 7, 7, 1, 1, 2, 3, 4, 4, 9]])
def test_intervals_are_those_of_the_naive_bootstrap(units: list[int]) -> None:
    images = matrices(12)
    found = bootstrap(images, np.array(units), iou, seed=4)
    assert [of.value for of in found] == [
        row["iou"] for row in scores(torch.from_numpy(images.sum(axis=0)))["per_class"]
    ]
    for of, (low, high) in zip(found, naive(images, units, 4), strict=True):
        assert (of.low, of.high) == pytest.approx((low, high), abs=1e-12)


def test_a_share_has_the_interval_of_theory_and_images_of_one_unit_count_once() -> None:
    right = RNG.binomial(1, 0.7, 400)
    counts = np.column_stack([right, np.ones(400, int)])

    def share(sums: np.ndarray) -> np.ndarray:
        return sums[:, :1] / sums[:, 1:]

    [of] = bootstrap(counts, np.arange(400), share)
    error = 1.96 * math.sqrt(of.value * (1 - of.value) / 400)
    assert of.high - of.low == pytest.approx(2 * error, rel=0.1)
    [four_looks] = bootstrap(np.repeat(counts, 4, axis=0), np.repeat(np.arange(400), 4), share)
    assert four_looks == of
    [as_if_apart] = bootstrap(np.repeat(counts, 4, axis=0), np.arange(1600), share)
    assert (as_if_apart.high - as_if_apart.low) == pytest.approx(error, rel=0.15)


def test_what_is_nowhere_has_no_figure_and_one_unit_no_interval() -> None:
    images = np.zeros((5, 2, 2), int)
    images[:, 0, 0] = 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        present, absent = bootstrap(images, np.arange(5), iou)
        alone, _ = bootstrap(images, np.zeros(5, int), iou)
    assert present == (1, 1, 1)
    assert all(map(math.isnan, absent))
    assert alone.value == 1
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)


def test_counts_of_a_unit_are_added_up() -> None:
    counts = np.arange(8).reshape(4, 2)
    assert by_unit(counts, np.array([9, 2, 9, 2])).tolist() == [[2 + 6, 3 + 7], [0 + 4, 1 + 5]]


def test_matrices_of_images_add_up_to_that_of_the_set() -> None:
    prediction = torch.from_numpy(RNG.integers(0, 4, (5, 9, 7)))
    label = torch.from_numpy(RNG.choice([0, 1, 2, 3, 255], (5, 9, 7)).astype(np.uint8))
    whole = Confusion(4)
    whole.update_classes(prediction, label)
    single = per_image(prediction, label, classes=4)
    assert torch.equal(single.sum(dim=0), whole.matrix)
    for i in range(5):
        one = np.zeros((4, 4), int)
        for truth, said in zip(label[i].flatten().tolist(), prediction[i].flatten().tolist(), strict=True):
            if truth < 4:
                one[truth, said] += 1
        assert single[i].tolist() == one.tolist()
    for i, miou in enumerate(whole_scores(single)["miou"].tolist()):
        assert miou == pytest.approx(scores(single[i])["miou"])
