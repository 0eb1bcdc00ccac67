"""Ends a training that no longer gets better, and says why."""

from typing import Any

from pydantic import Field

from segtrain.schedules.improvement import Improvement
from segtrain.spec import Spec


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
