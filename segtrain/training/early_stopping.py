"""Whether a metric still rises: what plateau and early stopping ask.

Ends a training that no longer gets better, and says why.
"""

import math
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from smearsynth.base.validation import Spec


@dataclass
class Improvement:
    """Follows a metric of which higher is better; nan is no improvement. min_delta: least rise that counts."""

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
    """Watches a metric, of which higher is better, once an epoch."""

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
