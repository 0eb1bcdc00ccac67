"""Losses against naive ones that follow their definitions pixel by pixel; gradients against finite differences."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from random_logits import CLASSES, PIXELS, Floats, loss_of, sample, softmax
from torch import Tensor

from segtrain.losses import LossSpec, absent_classes, class_weights, make_loss

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SPECS: dict[str, dict[str, Any]] = {
    "cross_entropy": {"cross_entropy": {}},
    "cross_entropy-sum": {"cross_entropy": {"norm": "sum", "weights": "inverse_sqrt"}},
    "cross_entropy-unweighted": {"cross_entropy": {"weights": "none"}},
    "dice": {"dice": {}},
    "dice-rough": {"dice": {"smooth": 0}},
    "focal": {"focal": {}},
    "focal-root": {"focal": {"gamma": 0.5, "norm": "sum"}},
    "lovasz": {"lovasz": {}},
    "bce": {"bce": {}},
}
each_loss = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


# The naive versions work on a list of pixels: f8 (N, C) and (N,), ignored ones taken out.


def naive_weighted(
    logits: Floats, label: Floats, *, weights: str = "inverse", norm: str = "count", gamma: float = 0.0
) -> float:
    power = {"none": 0, "inverse": 1, "inverse_sqrt": 0.5}[weights]
    total, weight_sum, count = 0.0, 0.0, 0
    for row, c in zip(softmax(logits), label, strict=True):
        weight = (float(PIXELS.sum()) / float(PIXELS[c])) ** power
        total += weight * (1 - row[c]) ** gamma * -math.log(row[c])
        weight_sum += weight
        count += 1
    return total / (count if norm == "count" else weight_sum)


def naive_focal(logits: Floats, label: Floats, *, gamma: float = 2.0, norm: str = "count") -> float:
    return naive_weighted(logits, label, gamma=gamma, norm=norm)


def naive_dice(logits: Floats, label: Floats, *, smooth: float = 1.0) -> float:
    each = []
    for c in sorted(set(label)):
        inside = sum(row[c] for row, true in zip(softmax(logits), label, strict=True) if true == c)
        both = sum(softmax(logits)[:, c]) + sum(label == c)
        each.append(1 - (2 * inside + smooth) / (both + smooth))
    return float(np.mean(each))


def naive_lovasz(logits: Floats, label: Floats) -> float:
    """From the definition: pixels become wrong one by one, those of the largest error first; each adds its error times
    what it adds to 1 - IoU."""
    each = []
    for c in sorted(set(label)):
        error = np.where(label == c, 1 - softmax(logits)[:, c], softmax(logits)[:, c])
        wrong: set[int] = set()
        total, before = 0.0, 0.0
        true = set(np.flatnonzero(label == c))
        for i in np.argsort(-error):
            wrong.add(int(i))
            now = 1 - len(true - wrong) / len(true | wrong)
            total += error[i] * (now - before)
            before = now
        each.append(total)
    return float(np.mean(each))


def naive_bce(logits: Floats, label: Floats) -> float:
    values = []
    for row, true in zip(logits, label, strict=True):
        for c, x in enumerate(row):
            p = 1 / (1 + math.exp(-x))
            values.append(-math.log(p if c == true else 1 - p))
    return float(np.mean(values))


NAIVE = {
    "cross_entropy": naive_weighted,
    "dice": naive_dice,
    "focal": naive_focal,
    "lovasz": naive_lovasz,
    "bce": naive_bce,
}


def naive(spec: dict[str, Any], logits: Tensor, label: Tensor) -> float:
    rows = logits.movedim(1, -1).reshape(-1, CLASSES).numpy()
    classes = label.flatten().numpy()
    known = classes != 255
    total = 0.0
    for name, options in spec.items():
        rest = {key: value for key, value in options.items() if key != "factor"}
        total += options.get("factor", 1) * NAIVE[name](rows[known], classes[known], **rest)
    return total


@each_loss
@pytest.mark.parametrize("ignored", [0.0, 0.2])
def test_agrees_with_its_definition(spec: dict[str, Any], ignored: float) -> None:
    for seed in range(3):
        logits, label = sample(seed, ignored=ignored)
        assert loss_of(spec)(logits, label).item() == pytest.approx(naive(spec, logits, label), rel=1e-6)


@each_loss
def test_gradient_agrees_with_finite_differences(spec: dict[str, Any]) -> None:
    logits, label = sample(7, (2, 3, 4))
    loss = loss_of(spec)
    assert torch.autograd.gradcheck(lambda x: loss(x, label), logits.requires_grad_(), eps=1e-6, atol=1e-6)


@each_loss
def test_ignored_pixels_neither_count_nor_learn(spec: dict[str, Any]) -> None:
    logits, label = sample(1)
    ignored = (label == 255)[:, None].expand_as(logits)
    loss, value = loss_of(spec), torch.where(ignored, 50.0, logits)
    logits.requires_grad_()
    assert loss(value, label) == loss(logits.detach(), label)
    (gradient,) = torch.autograd.grad(loss(logits, label), logits)
    assert not gradient[ignored].any()
    assert gradient[~ignored].any()


@each_loss
def test_without_any_known_pixel_it_is_zero_with_zero_gradient(spec: dict[str, Any]) -> None:
    logits, label = sample(2, ignored=1.1)
    value = loss_of(spec)(logits.requires_grad_(), label)
    value.backward()
    assert value == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@each_loss
def test_certainty_stays_finite(spec: dict[str, Any]) -> None:
    logits, label = sample(3)
    logits = (1000 * logits).float().requires_grad_()
    value = loss_of(spec)(logits, label)
    value.backward()
    assert logits.grad is not None
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@each_loss
def test_is_fp32_whatever_the_network_and_autocast_say(spec: dict[str, Any]) -> None:
    logits, label = sample(4)
    logits = logits.bfloat16()
    loss = loss_of(spec)
    full = loss(logits.float(), label)
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(logits, label)
    assert half.dtype == torch.float32
    assert torch.equal(half, full)


@each_loss
def test_memory_layout_and_label_type_do_not_matter(spec: dict[str, Any]) -> None:
    logits, label = sample(5)
    loss = loss_of(spec)
    other = loss(logits.contiguous(memory_format=torch.channels_last), label.to(torch.uint8))
    torch.testing.assert_close(other, loss(logits, label), rtol=1e-12, atol=0)


@gpu
@each_loss
def test_on_a_gpu_it_repeats_to_the_bit_agrees_with_the_cpu_and_never_waits(spec: dict[str, Any]) -> None:
    logits, label = (t.cuda() for t in sample(6, (4, 64, 64)))
    logits = logits.float().requires_grad_()
    loss = make_loss(LossSpec.model_validate(spec), PIXELS, device="cuda")
    gradients = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            torch.cuda.set_sync_debug_mode("error")
            value = loss(logits, label)
            gradients.extend(torch.autograd.grad(value, logits))
            torch.cuda.set_sync_debug_mode("default")
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*gradients)
    torch.testing.assert_close(value.detach().cpu(), loss_of(spec)(logits.detach().cpu(), label.cpu()))


def test_a_sum_is_the_sum_of_its_terms_times_their_factors() -> None:
    spec = {
        "cross_entropy": {"factor": 0.5},
        "dice": {"factor": 2.0},
        "focal": {},
        "lovasz": {},
        "bce": {"factor": 3.0},
    }
    logits, label = sample(8)
    assert loss_of(spec)(logits, label).item() == pytest.approx(naive(spec, logits, label), rel=1e-6)


@pytest.mark.parametrize("name", ["dice", "lovasz"])
def test_of_certain_predictions_it_is_one_minus_the_measured_overlap(name: str) -> None:
    random = np.random.default_rng(0)
    label, prediction = (torch.from_numpy(random.integers(0, CLASSES, (2, 9, 9))) for _ in range(2))
    logits = 1000.0 * torch.nn.functional.one_hot(prediction, CLASSES).movedim(-1, 1)
    both = torch.tensor([((label == c) & (prediction == c)).sum() for c in range(CLASSES)])
    sizes = torch.tensor([(label == c).sum() + (prediction == c).sum() for c in range(CLASSES)])
    overlap = 2 * both / sizes if name == "dice" else both / (sizes - both)
    options = {"smooth": 0} if name == "dice" else {}
    assert loss_of({name: options})(logits, label).item() == pytest.approx(1 - overlap.mean().item(), abs=1e-6)


def test_lovasz_keeps_its_small_steps_among_many_pixels() -> None:
    """Each of two million pixels adds 1 / 2,000,000 to 1 - IoU: fp32 would be off by a tenth of that, near 1."""
    n = 2_000_000
    label = torch.zeros(1, 1, n, dtype=torch.long)
    label[..., :2] = 1
    logits = torch.zeros(1, 2, 1, n, requires_grad=True)
    value = make_loss(LossSpec.model_validate({"lovasz": {}}), torch.tensor([n - 2, 2]))(logits, label)
    value.backward()
    # All errors are one half, and wrong altogether is an IoU of 0: half of 1, for both classes.
    assert value.item() == pytest.approx(0.5, rel=1e-6)
    # A logit moves its softmax by a quarter; class 0 is half of the mean; class 1 has lost its IoU to its own pixels.
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[0, 0, 0, 2:], torch.full((n - 2,), -1 / n / 8), rtol=1e-4, atol=0)


class TestClassWeights:
    def test_are_all_pixels_over_those_of_the_class(self) -> None:
        weights = class_weights(torch.tensor([2_151_000_000, 1_000_000, 2_782_000, 0]), "inverse")
        total = 2_151_000_000 + 1_000_000 + 2_782_000
        assert weights.tolist() == pytest.approx([total / 2_151_000_000, total / 1_000_000, total / 2_782_000, 0])

    def test_of_the_rest(self) -> None:
        pixels = torch.tensor([900, 100, 0])
        assert class_weights(pixels, "none").tolist() == [1, 1, 0]
        assert class_weights(pixels, "inverse_sqrt").tolist() == pytest.approx([math.sqrt(10 / 9), math.sqrt(10), 0])

    def test_an_absent_class_has_no_part_in_the_count(self) -> None:
        logits, label = sample(9, ignored=0)
        absent = PIXELS * torch.tensor([1, 1, 0, 1])
        known = torch.where(label == 2, 255, label)
        weights = PIXELS.sum() / absent.sum()  # the other classes' weights see another total
        assert loss_of({"cross_entropy": {}}, absent)(logits, label).item() == pytest.approx(
            loss_of({"cross_entropy": {}})(logits, known).item() / weights.item(), rel=1e-6
        )

    def test_absence_is_said(self) -> None:
        assert absent_classes(torch.tensor([5, 0, 1, 0]), ["a", "b", "c", "d"]) == (
            "the training set has no pixel of b, d: this cannot be learned from it"
        )
        assert "b: what the network knew" in absent_classes(torch.tensor([5, 0]), ["a", "b"], learnt=True)
        assert absent_classes(torch.tensor([5, 1]), ["a", "b"]) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"cross_entropy": None},
        {"jaccard": {}},
        {"dice": {"norm": "sum"}},
        {"cross_entropy": {"gamma": 1}},
        {"cross_entropy": {"factor": 0}},
        {"focal": {"gamma": float("nan")}},
    ],
)
def test_useless_keys_and_empty_sums_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LossSpec.model_validate(wrong)
