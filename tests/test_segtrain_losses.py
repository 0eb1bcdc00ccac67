"""Losses against naive ones that follow their definitions pixel by pixel; gradients against finite differences."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from segtrain.losses import LossSpec, absent_classes, class_weights, make_loss

CLASSES = 4
PIXELS = torch.tensor([700, 200, 90, 10])
Floats = npt.NDArray[np.float64]
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


def sample(seed: int = 0, shape: tuple[int, int, int] = (2, 5, 6), *, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    """Logits f8 (B, C, H, W) and labels i8 (B, H, W) of classes 0 to 2 (class 3 is absent), some of them ignored."""
    random = np.random.default_rng(seed)
    label = random.integers(0, CLASSES - 1, shape)
    label[random.random(shape) < ignored] = 255
    return torch.from_numpy(random.normal(0, 2, (shape[0], CLASSES, *shape[1:]))), torch.from_numpy(label)


def loss_of(spec: dict[str, Any], pixels: Tensor = PIXELS) -> Callable[[Tensor, Tensor], Tensor]:
    return make_loss(LossSpec.model_validate(spec), pixels)


# The naive versions work on a list of pixels: f8 (N, C) and (N,), ignored ones taken out.


def softmax(logits: Floats) -> Floats:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


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


def cells_sample(seed: int = 0, *, ignored: float = 0.2) -> tuple[Tensor, Tensor, Tensor]:
    """Two images of 8 x 9 px: logits f8, labels i8, and blocks of 3 x 3 px that are cells, one in three none; a cell is
    of class 1 or 2, the background of class 0."""
    random = np.random.default_rng(seed)
    number = np.arange(1, 10).reshape(3, 3)[None].repeat(2, 0) * (random.random((2, 3, 3)) < 0.7)
    kind = np.where(number > 0, random.integers(1, 3, number.shape), 0)
    instance, label = (one.repeat(3, 1).repeat(3, 2)[:, :8] for one in (number, kind))
    label[random.random(label.shape) < ignored] = 255
    logits = random.normal(0, 2, (2, CLASSES, 8, 9))
    return torch.from_numpy(logits), torch.from_numpy(label), torch.from_numpy(instance).int()


def naive_cells(logits: Tensor, label: Tensor, instance: Tensor, *, least: int, weights: str) -> float:
    """Cell by cell: mean of its known pixels' logits, then cross-entropy."""
    cells = []
    for image in range(len(label)):
        for number in range(1, int(instance[image].max()) + 1):
            inside = (instance[image] == number) & (label[image] != 255)
            if inside.sum() >= least:
                mean = logits[image][:, inside].numpy().mean(axis=1)
                kind = int(label[image][inside][0])
                cells.append((kind, -math.log(softmax(mean[None])[0, kind])))
    kinds = [kind for kind, _ in cells]
    power = {"none": 0, "inverse": 1, "inverse_sqrt": 0.5}[weights]
    weight = [(len(kinds) / kinds.count(kind)) ** power for kind in kinds]
    return sum(w * ce for w, (_, ce) in zip(weight, cells, strict=True)) / sum(weight) if cells else 0.0


class TestCells:
    def loss(self, **options: Any) -> Callable[..., Tensor]:
        return make_loss(LossSpec.model_validate({"cells": {"least": 1, **options}}), PIXELS, most_cells=12)

    @pytest.mark.parametrize("weights", ["none", "inverse", "inverse_sqrt"])
    @pytest.mark.parametrize("least", [1, 7])
    def test_agrees_with_a_loop_over_cells(self, weights: str, least: int) -> None:
        for seed in range(4):
            given = cells_sample(seed)
            assert self.loss(least=least, weights=weights, factor=2)(*given).item() == pytest.approx(
                2 * naive_cells(*given, least=least, weights=weights), rel=1e-6
            )

    def test_gradient_agrees_with_finite_differences(self) -> None:
        logits, label, instance = cells_sample(1)
        loss = self.loss()
        logits = logits[:1].requires_grad_()
        assert torch.autograd.gradcheck(lambda x: loss(x, label[:1], instance[:1]), logits, eps=1e-6, atol=1e-6)

    def test_only_known_pixels_of_cells_learn(self) -> None:
        logits, label, instance = cells_sample(2)
        (gradient,) = torch.autograd.grad(self.loss()(logits.requires_grad_(), label, instance), logits)
        learns = gradient.abs().sum(dim=1) > 0
        assert torch.equal(learns, (instance > 0) & (label != 255))

    @pytest.mark.parametrize("least", [1, 100])
    def test_without_a_cell_that_counts_it_is_zero_with_zero_gradient(self, least: int) -> None:
        logits, label, instance = cells_sample(3)
        instance = instance if least > 1 else torch.zeros_like(instance)
        value = self.loss(least=least)(logits.requires_grad_(), label, instance)
        value.backward()
        assert value == 0
        assert logits.grad is not None
        assert not logits.grad.any()

    def test_repeats_to_the_bit_in_any_layout_and_adds_to_the_others(self) -> None:
        logits, label, instance = cells_sample(4)
        last = logits.float().contiguous(memory_format=torch.channels_last)
        values = [self.loss()(one, label.to(torch.uint8), instance) for one in (last, last.clone(), logits.float())]
        assert values[0] == values[1]
        torch.testing.assert_close(values[0], values[2])
        both = make_loss(LossSpec.model_validate({"dice": {}, "cells": {"least": 1}}), PIXELS, most_cells=12)
        torch.testing.assert_close(
            both(logits, label, instance), loss_of({"dice": {}})(logits, label) + self.loss()(logits, label, instance)
        )


class TestParasite:
    SPEC = LossSpec.model_validate({"parasite": {"weight": 3, "factor": 2}})

    def sample(self, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Logits with the parasite's channel, labels, masks of 0, 1 and 255."""
        random = np.random.default_rng(seed)
        logits, label = sample(seed)
        mask = random.choice(np.array([0, 1, 255], np.uint8), label.shape, p=[0.6, 0.2, 0.2])
        return (
            torch.cat((logits, torch.from_numpy(random.normal(0, 2, (2, 1, 5, 6)))), dim=1),
            label,
            torch.from_numpy(mask),
        )

    def test_agrees_with_its_definition_and_leaves_unknown_pixels_out(self) -> None:
        loss = make_loss(self.SPEC, PIXELS)
        for seed in range(3):
            logits, label, mask = self.sample(seed)
            x, y = logits[:, -1][mask != 255].numpy(), mask[mask != 255].numpy().astype(float)
            p = 1 / (1 + np.exp(-x))
            ce = np.mean(-3 * y * np.log(p) - (1 - y) * np.log(1 - p))
            dice = 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)
            assert loss(logits, label, parasite=mask).item() == pytest.approx(2 * (ce + dice), rel=1e-6)

    def test_gradient_agrees_with_finite_differences_and_is_of_known_pixels(self) -> None:
        loss = make_loss(self.SPEC, PIXELS)
        logits, label, mask = self.sample(5)
        logits.requires_grad_()
        assert torch.autograd.gradcheck(lambda x: loss(x, label, parasite=mask), logits, eps=1e-6, atol=1e-6)
        (gradient,) = torch.autograd.grad(loss(logits, label, parasite=mask), logits)
        assert torch.equal(gradient[:, -1] != 0, mask != 255)
        assert not gradient[:, :-1].any()

    def test_where_nothing_is_known_it_is_zero_with_zero_gradient(self) -> None:
        logits, label, mask = self.sample()
        value = make_loss(self.SPEC, PIXELS)(logits.requires_grad_(), label, parasite=torch.full_like(mask, 255))
        value.backward()
        assert value == 0
        assert logits.grad is not None
        assert not logits.grad.any()

    def test_the_other_losses_do_not_see_its_channel(self) -> None:
        logits, label, mask = self.sample()
        both = make_loss(LossSpec.model_validate({"lovasz": {}, "parasite": {}}), PIXELS)
        alone = make_loss(LossSpec.model_validate({"parasite": {}}), PIXELS)
        torch.testing.assert_close(
            both(logits, label, parasite=mask),
            loss_of({"lovasz": {}})(logits[:, :-1], label) + alone(logits, label, parasite=mask),
        )
