"""Losses over cells and of the parasite mask, against naive loops."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from random_logits import CLASSES, PIXELS, loss_of, sample, softmax
from torch import Tensor

from segtrain.losses import LossSpec, make_loss


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
