"""The learning rate as a pure function of the step, so that resuming restores it without any state.

Steps count from 0, epochs from 1. Every function gives the factor on the configured learning rate.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from segtrain.training.early_stopping import Improvement
from smearsynth.base.validation import Spec

Factor = Annotated[float, Field(ge=0, le=1)]


class PiecewiseSpec(Spec):
    """One factor after another. The reference training is `{after: [5], factors: [0.1]}` at a rate of 1e-3."""

    after: tuple[Annotated[int, Field(ge=1)], ...] = Field(description="epochs after which a factor holds, ascending")
    factors: tuple[Factor, ...] = Field(description="the factor after each of these epochs; 1 before the first; 0-1")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.after) != len(self.factors):
            raise ValueError(f"factors: has {len(self.factors)} values for {len(self.after)} epochs in `after`")
        if any(a >= b for a, b in pairwise(self.after)):
            raise ValueError("after: the epochs must ascend")
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
            raise ValueError(
                f"{named[1]}: only a plateau may stand beside another schedule, and {named[0]} is one: set one to null"
            )
        return self


def lr(spec: ScheduleSpec, step: int, *, steps_per_epoch: int, epochs: int, history: Sequence[float] = ()) -> float:
    """The factor, 0 to 1, on the learning rate at `step`.

    epochs: how many the whole training has. history: the watched metric of every finished epoch, higher is better; only
    `plateau` reads it, and no further than the epochs before the one that `step` is in.
    """
    epoch = step // steps_per_epoch
    factor = _by_itself(spec, step, steps_per_epoch, epochs)
    if not spec.plateau:
        return factor
    course = [_by_itself(spec, ended * steps_per_epoch, steps_per_epoch, epochs) for ended in range(1, epoch + 1)]
    return factor * _plateau(spec.plateau, history[:epoch], course)


def _by_itself(spec: ScheduleSpec, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The factor at `step` of what does not look at the metric."""
    epoch = step // steps_per_epoch
    if spec.piecewise:
        return _piecewise(spec.piecewise, epoch)
    if spec.step:
        return spec.step.gamma ** (epoch // spec.step.every)
    if spec.cosine:
        return _cosine(spec.cosine, step, steps_per_epoch, epochs)
    return 1.0


def _piecewise(spec: PiecewiseSpec, epoch: int) -> float:
    factor = 1.0
    for after, then in zip(spec.after, spec.factors, strict=True):
        factor = then if epoch >= after else factor
    return factor


def _plateau(spec: PlateauSpec, history: Sequence[float], course: Sequence[float]) -> float:
    """course: the factor, after each epoch of `history`, that this one multiplies; `least` is of both together."""
    factor, improvement = 1.0, Improvement(spec.min_delta)
    for value, beside in zip(history, course, strict=False):
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
