"""What changes over the epochs: the learning rate, whether the training goes on, and the average of its weights.

The learning rate is a pure function of the step, so that a resume needs no state of it: every function gives the factor
on the configured rate. Steps count from 0, epochs from 1. Of a watched metric higher is better, and nan never is.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from smearsynth.base.validation import Spec, WrongValueError

Factor = Annotated[float, Field(ge=0, le=1)]


class PiecewiseSpec(Spec):
    """One factor after another. The reference training is `{after: [5], factors: [0.1]}` at a rate of 1e-3."""

    after: tuple[Annotated[int, Field(ge=1)], ...] = Field(description="epochs after which a factor holds, ascending")
    factors: tuple[Factor, ...] = Field(description="the factor after each of these epochs; 1 before the first; 0-1")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.after) != len(self.factors):
            raise WrongValueError(f"has {len(self.factors)} values for {len(self.after)} epochs in `after`", "factors")
        if any(a >= b for a, b in pairwise(self.after)):
            raise WrongValueError("the epochs must ascend", "after")
        return self


class StepSpec(Spec):
    """The rate falls by one factor at equal intervals."""

    every: int = Field(10, ge=1, description="epochs between two falls")
    gamma: Factor = Field(0.5, description="factor of each fall; 0-1")


class PlateauSpec(Spec):
    """The rate falls when the watched metric stops rising; beside another schedule, it multiplies that one's."""

    patience: int = Field(3, ge=1, description="epochs without a rise after which the rate falls")
    gamma: Factor = Field(0.5, description="factor of each fall; 0-1")
    min_delta: float = Field(0.0, ge=0, description="least rise that counts as one")
    least: Factor = Field(0.001, description="factor under which a plateau lets the rate not fall; 0-1")


class CosineSpec(Spec):
    """A rise in a straight line, then half a cosine down to the last step (Loshchilov and Hutter, arXiv:1608.03983)."""

    warmup_epochs: float = Field(1.0, ge=0, description="epochs of the rise")
    end: Factor = Field(0.0, description="factor that the cosine ends at; 0-1")


class ScheduleSpec(Spec):
    """One of four schedules, none for a constant rate, or a plateau beside one that falls by itself."""

    piecewise: PiecewiseSpec | None = Field(None, description="one factor after another")
    step: StepSpec | None = Field(None, description="falls at equal intervals")
    plateau: PlateauSpec | None = Field(None, description="falls when the watched metric stops rising")
    cosine: CosineSpec | None = Field(None, description="warm-up, then half a cosine")

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        named = sorted(self.model_dump(exclude_none=True, exclude={"plateau"}))
        if len(named) > 1:
            sentence = f"only a plateau may stand beside another schedule, and {named[0]} is one: set one to null"
            raise WrongValueError(sentence, named[1])
        return self


def learning_rate_factor(
    spec: ScheduleSpec, step: int, *, steps_per_epoch: int, epochs: int, history: Sequence[float] = ()
) -> float:
    """The factor, 0 to 1, on the learning rate at `step`.

    epochs: how many the whole training has. history: the watched metric of every finished epoch, higher is better; only
    `plateau` reads it, and no further than the epochs before the one that `step` is in.
    """
    epoch = step // steps_per_epoch
    factor = _without_plateau(spec, step, steps_per_epoch, epochs)
    if not spec.plateau:
        return factor
    others = [_without_plateau(spec, ended * steps_per_epoch, steps_per_epoch, epochs) for ended in range(1, epoch + 1)]
    return factor * _plateau(spec.plateau, history[:epoch], others)


def how_it_goes_on(spec: ScheduleSpec, step: int, steps_per_epoch: int, before: int, epochs: int) -> str:
    """A sentence on what the schedule does at `step` where a training of `before` epochs becomes one of `epochs`."""
    changed = f"{before} epochs become {epochs}"
    if not spec.cosine:
        return f"{changed}; the schedule does not depend on how many there are, and goes on"
    old, new = (_cosine(spec.cosine, step, steps_per_epoch, total) for total in (before, epochs))
    return (
        f"{changed}; from here on the cosine is that of {epochs}, so the learning rate goes on at {new:.3g} of "
        f"`optimiser.lr` where it was {old:.3g}"
    )


def _without_plateau(spec: ScheduleSpec, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The factor at `step` of what does not look at the metric."""
    epoch = step // steps_per_epoch
    if spec.piecewise:
        steps = zip(spec.piecewise.after, spec.piecewise.factors, strict=True)
        return next((factor for after, factor in reversed(list(steps)) if epoch >= after), 1.0)
    if spec.step:
        return spec.step.gamma ** (epoch // spec.step.every)
    if spec.cosine:
        return _cosine(spec.cosine, step, steps_per_epoch, epochs)
    return 1.0


def _plateau(spec: PlateauSpec, history: Sequence[float], others: Sequence[float]) -> float:
    """others: the factor, after each epoch of `history`, that this one multiplies; `least` is of both together."""
    factor, improvement = 1.0, Improvement(spec.min_delta)
    for value, beside in zip(history, others, strict=False):
        improvement.update(value)
        if improvement.epochs_without >= spec.patience:
            least = spec.least / beside if beside > spec.least else 1.0
            factor = min(factor, max(factor * spec.gamma, least))
            improvement.epochs_without = 0
    return factor


def _cosine(spec: CosineSpec, step: int, steps_per_epoch: int, epochs: int) -> float:
    warmup = round(spec.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(steps_per_epoch * epochs - warmup, 1)
    return spec.end + (1 - spec.end) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


@dataclass
class Improvement:
    """Whether a metric still rises, as plateau and early stopping ask. min_delta: least rise that counts."""

    min_delta: float = 0.0
    best: float = -math.inf
    epochs_without: int = 0
    """Epochs since the last rise."""

    def update(self, value: float) -> bool:
        """Takes the metric of the next epoch; whether it is a new best."""
        better = value > self.best + self.min_delta
        self.best = value if better else self.best
        self.epochs_without = 0 if better else self.epochs_without + 1
        return better


class EarlyStopSpec(Spec):
    """When a training ends before its last epoch."""

    patience: int = Field(10, ge=1, description="epochs without a rise of the watched metric after which it ends")
    min_delta: float = Field(0.0, ge=0, description="least rise that counts as one")


class EarlyStop:
    """Ends a training whose watched metric no longer rises, and says why."""

    def __init__(self, spec: EarlyStopSpec, metric: str) -> None:
        """metric: its name, for the reason."""
        self.spec, self.metric = spec, metric
        self._improvement = Improvement(spec.min_delta)
        self._epoch = self._best_epoch = 0

    def update(self, value: float) -> None:
        """Takes the metric of the next epoch."""
        self._epoch += 1
        if self._improvement.update(value):
            self._best_epoch = self._epoch

    @property
    def reason(self) -> str | None:
        """Why the training should end now; None while it should go on."""
        without = self._improvement.epochs_without
        if without < self.spec.patience:
            return None
        since = f"{without} epochs" if without > 1 else "1 epoch"
        if not self._best_epoch:
            return f"{self.metric} was never a number in {since}"
        rise = f"more than {self.spec.min_delta:g} " if self.spec.min_delta else ""
        best = f"{self._improvement.best:.4f} of epoch {self._best_epoch}"
        return f"{self.metric} has not risen {rise}above the {best} for {since}"

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "epoch": self._epoch,
            "best_epoch": self._best_epoch,
            "best": self._improvement.best,
            "epochs_without": self._improvement.epochs_without,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self._epoch, self._best_epoch = state["epoch"], state["best_epoch"]
        self._improvement = Improvement(self.spec.min_delta, state["best"], state["epochs_without"])


class Ema:
    """An exponential moving average of a network's weights, which mostly segments better than those of the last step.

    `averaged_model` is a copy of the network whose weights follow: w = decay * w + (1 - decay) * trained. The decay of
    update t = 1, 2, ... is min(decay, (1 + t) / (10 + t)), so that the drawn weights of the start are soon forgotten.
    Running means of batch normalisation are averaged as weights are; counters are copied. Weights stay in their own
    format, fp32.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """decay: 0 to below 1."""
        assert 0 <= decay < 1
        self.decay, self.updates = decay, 0
        self.averaged_model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Takes in the weights after an optimiser step. model: the network itself, not what DDP or torch.compile wrap
        around it. Never waits for the device."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, trained = self.averaged_model.state_dict(), model.state_dict()
        floats = [key for key, value in averages.items() if value.is_floating_point()]
        torch._foreach_lerp_([averages[k] for k in floats], [trained[k] for k in floats], 1 - decay)
        for key in averages.keys() - set(floats):
            averages[key].copy_(trained[key])

    def state_dict(self) -> dict[str, Any]:
        """Tensors and a number."""
        return {"updates": self.updates, "model": self.averaged_model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self.updates = state["updates"]
        self.averaged_model.load_state_dict(state["model"])
