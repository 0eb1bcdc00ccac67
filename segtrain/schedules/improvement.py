"""Whether a metric still rises: what plateau and early stopping ask."""

import math
from dataclasses import dataclass


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
