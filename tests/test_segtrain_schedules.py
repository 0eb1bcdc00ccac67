"""Schedules beside torch's own, which keep state where ours are functions; early stop and averaged weights."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.optim import lr_scheduler

from segtrain.networks import checkpoint
from segtrain.training.schedules import EarlyStop, EarlyStopSpec, Ema, ScheduleSpec, learning_rate_factor

STEPS, EPOCHS = 7, 12


def factors(spec: dict[str, Any], history: list[float] | None = None) -> list[float]:
    """The factor of every step."""
    schedule = ScheduleSpec.model_validate(spec)
    return [
        learning_rate_factor(schedule, step, steps_per_epoch=STEPS, epochs=EPOCHS, history=history or [])
        for step in range(STEPS * EPOCHS)
    ]


def of_torch(make: Any, *, steps: int = STEPS, **options: Any) -> list[float]:
    """What a scheduler of torch, advanced after every epoch, gives at every step."""
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimiser, **options)
    found = []
    for _ in range(STEPS * EPOCHS // steps):
        found += [optimiser.param_groups[0]["lr"]] * steps
        optimiser.step()
        scheduler.step()
    return found


class TestRate:
    def test_of_the_reference_training_is_1e_3_for_five_epochs_then_1e_4(self) -> None:
        rates = [1e-3 * factor for factor in factors({"piecewise": {"after": (5,), "factors": (0.1,)}})]
        assert rates == pytest.approx([1e-3] * 5 * STEPS + [1e-4] * 7 * STEPS)

    def test_is_constant_without_a_schedule(self) -> None:
        assert set(factors({})) == {1.0}

    def test_piecewise_agrees_with_torch(self) -> None:
        ours = factors({"piecewise": {"after": (2, 5, 9), "factors": (0.5, 0.25, 0.125)}})
        assert ours == pytest.approx(of_torch(lr_scheduler.MultiStepLR, milestones=[2, 5, 9], gamma=0.5))

    def test_step_agrees_with_torch(self) -> None:
        ours = factors({"step": {"every": 3, "gamma": 0.3}})
        assert ours == pytest.approx(of_torch(lr_scheduler.StepLR, step_size=3, gamma=0.3))

    def test_cosine_without_warm_up_agrees_with_torch(self) -> None:
        ours = factors({"cosine": {"warmup_epochs": 0, "end": 0.1}})
        torchs = of_torch(lr_scheduler.CosineAnnealingLR, steps=1, T_max=STEPS * EPOCHS, eta_min=0.1)
        assert ours == pytest.approx(torchs)

    def test_cosine_rises_to_one_then_falls_to_its_end(self) -> None:
        ours = factors({"cosine": {"warmup_epochs": 2, "end": 0.2}})
        rise, fall = ours[: 2 * STEPS], ours[2 * STEPS - 1 :]
        assert rise == pytest.approx([(i + 1) / 14 for i in range(14)])
        assert rise[-1] == fall[1] == 1
        assert fall == sorted(fall, reverse=True)
        assert 0.2 < ours[-1] < 0.21

    def test_a_warm_up_as_long_as_the_training_still_rises(self) -> None:
        ours = factors({"cosine": {"warmup_epochs": EPOCHS}})
        assert ours == sorted(ours)
        assert ours[-1] == 1

    @given(
        st.lists(st.integers(0, 8).map(float), min_size=EPOCHS, max_size=EPOCHS),
        st.integers(1, 4),
        st.sampled_from([0.0, 1.0]),
    )
    def test_plateau_agrees_with_torch(self, history: list[float], patience: int, min_delta: float) -> None:
        """Torch waits for one epoch more than its `patience`."""
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(
            optimiser,
            "max",
            factor=0.5,
            patience=patience - 1,
            threshold=min_delta,
            threshold_mode="abs",
            min_lr=0.1,
            eps=0,
        )
        expected = []
        for value in history:
            expected += [optimiser.param_groups[0]["lr"]] * STEPS
            scheduler.step(value)
        spec = {"plateau": {"patience": patience, "gamma": 0.5, "min_delta": min_delta, "least": 0.1}}
        assert factors(spec, history) == pytest.approx(expected)

    @given(st.lists(st.integers(0, 3).map(float), min_size=EPOCHS, max_size=EPOCHS), st.integers(1, 2))
    def test_plateau_beside_a_step_agrees_with_both_of_torch_in_turn(self, history: list[float], patience: int) -> None:
        optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        step = lr_scheduler.StepLR(optimiser, 1, 0.8)
        plateau = lr_scheduler.ReduceLROnPlateau(
            optimiser, "max", factor=0.5, patience=patience - 1, threshold=0, threshold_mode="abs", min_lr=0.2, eps=0
        )
        expected = []
        for value in history:
            expected += [optimiser.param_groups[0]["lr"]] * STEPS
            optimiser.step()
            step.step()
            plateau.step(value)
        spec = {
            "step": {"every": 1, "gamma": 0.8},
            "plateau": {"patience": patience, "gamma": 0.5, "least": 0.2},
        }
        assert factors(spec, history) == pytest.approx(expected)

    def test_plateau_knows_only_the_epochs_before_the_step(self) -> None:
        history = [0.5, 0.4, 0.3, 0.2, 0.1]
        schedule = ScheduleSpec.model_validate({"plateau": {"patience": 1}})
        for epoch in range(5):
            now, later = (
                learning_rate_factor(schedule, epoch * STEPS, steps_per_epoch=STEPS, epochs=EPOCHS, history=known)
                for known in (history[:epoch], history)
            )
            assert now == later

    def test_nan_is_no_rise(self) -> None:
        history = [0.5, math.nan, math.nan, 0.6]
        assert factors({"plateau": {"patience": 2, "gamma": 0.5}}, history)[2 * STEPS :: STEPS][:3] == [1, 0.5, 0.5]

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"piecewise": {"after": (1, 2), "factors": (0.1,)}}, "has 1 values for 2 epochs"),
            ({"piecewise": {"after": (3, 3), "factors": (0.1, 0.2)}}, "must ascend"),
            ({"piecewise": {"after": (1,), "factors": (1.5,)}}, "must be at most 1"),
            ({"step": {}, "cosine": {}}, "only a plateau may stand beside another"),
            ({"cosine": {"gamma": 0.1}}, "unknown key"),
            ({"polynomial": {}}, "unknown key"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, wrong: dict[str, Any], said: str) -> None:
        with pytest.raises(ValidationError, match=said):
            ScheduleSpec.model_validate(wrong)


def stopper(values: list[float], **options: Any) -> EarlyStop:
    stop = EarlyStop(EarlyStopSpec(**options), "miou")
    for value in values:
        stop.update(value)
    return stop


class TestEarlyStop:
    @pytest.mark.parametrize(
        ("values", "options", "reason"),
        [
            ([], {"patience": 1}, None),
            ([0.5, 0.6, 0.7, 0.8], {"patience": 1}, None),
            ([0.5, 0.7, 0.6], {"patience": 2}, None),
            ([0.5, 0.7, 0.6, 0.7], {"patience": 2}, "miou has not risen above the 0.7000 of epoch 2 for 2 epochs"),
            ([0.5, 0.4], {"patience": 1}, "miou has not risen above the 0.5000 of epoch 1 for 1 epoch"),
            ([0.5, 0.4, 0.6], {"patience": 2}, None),
            (
                [0.5, 0.505, 0.509],
                {"patience": 2, "min_delta": 0.01},
                "miou has not risen more than 0.01 above the 0.5000 of epoch 1 for 2 epochs",
            ),
            ([math.nan] * 3, {"patience": 3}, "miou was never a number in 3 epochs"),
            ([0.5, math.nan, math.nan], {"patience": 2}, "miou has not risen above the 0.5000 of epoch 1 for 2 epochs"),
        ],
    )
    def test_says_why(self, values: list[float], options: dict[str, Any], reason: str | None) -> None:
        assert stopper(values, **options).reason == reason

    @given(st.lists(st.integers(0, 5).map(float), max_size=12), st.data())
    def test_goes_on_from_its_state_as_if_nothing_had_been(self, values: list[float], data: st.DataObject) -> None:
        cut = data.draw(st.integers(0, len(values)))
        first, resumed = stopper(values[:cut], patience=3), stopper([9.0], patience=3)
        resumed.load_state_dict(first.state_dict())
        for value in values[cut:]:
            resumed.update(value)
        whole = stopper(values, patience=3)
        assert resumed.reason == whole.reason
        assert resumed.state_dict() == whole.state_dict()


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))


def train_a_step(model: nn.Module, seed: int) -> None:
    """Moves weights, running means and the batch counter."""
    torch.manual_seed(seed)
    model.train()
    model(torch.randn(2, 2, 6, 6))
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)


class TestEma:
    def test_is_the_weighted_mean_written_out(self) -> None:
        model = network()
        ema = Ema(model, 0.3)
        expected = {key: value.clone().double() for key, value in model.state_dict().items()}
        for t in range(1, 6):
            train_a_step(model, t)
            decay = min(0.3, (1 + t) / (10 + t))
            for key, value in model.state_dict().items():
                expected[key] = decay * expected[key] + (1 - decay) * value.double()
            ema.update(model)
        found = ema.averaged_model.state_dict()
        assert found.pop("1.num_batches_tracked") == 5
        for key, value in found.items():
            torch.testing.assert_close(value.double(), expected[key], rtol=1e-6, atol=1e-7)

    def test_leaves_the_trained_network_alone(self) -> None:
        model, twin = network(), network()
        ema = Ema(model, 0.9)
        for t in range(3):
            train_a_step(model, t)
            train_a_step(twin, t)
            ema.update(model)
        assert all(
            torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True)
        )
        assert model.training
        assert not ema.averaged_model.training
        assert not any(p.requires_grad for p in ema.averaged_model.parameters())

    def test_goes_on_from_a_checkpoint_to_the_same_bits(self, tmp_path: Path) -> None:
        model = network()
        straight, other = Ema(model, 0.9), Ema(network(1), 0.9)
        for t in range(6):
            if t == 3:
                checkpoint.save(tmp_path / "ema.pt", straight.state_dict())
                other.load_state_dict(checkpoint.load(tmp_path / "ema.pt"))
            train_a_step(model, t)
            straight.update(model)
            if t >= 3:
                other.update(model)
        averages, again = straight.averaged_model.state_dict(), other.averaged_model.state_dict()
        assert all(torch.equal(averages[key], again[key]) for key in averages)
