"""What an epoch adds up to, on the device: sums that no order of adding changes, but for the loss's last bits."""

from typing import Any

import torch
from torch import Tensor

from segtrain.metrics import Confusion, ReferenceAccuracy
from segtrain.ranks import Ranks
from smearsynth.taxonomy import IGNORE

Figures = dict[str, float]


class TrainingTotals:
    """Loss and pixel accuracy of an epoch of training, measured on the way, while the weights change."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._counts = torch.zeros(3, dtype=torch.int64, device=device)

    def add(self, loss: Tensor, logits: Tensor, label: Tensor) -> None:
        """A batch. loss: its mean. logits: fp32 (B, C, H, W). label: u1 (B, H, W). Never waits for the device."""
        right = (logits.detach().argmax(dim=1) == label).sum()
        self._loss += loss.detach().double() * len(label)
        self._counts += torch.stack([right, (label != IGNORE).sum(), right.new_full((), len(label))])

    def figures(self, ranks: Ranks) -> Figures:
        """loss, mean over samples; pixel_accuracy. Over all processes."""
        state = self.state_dict(ranks)
        right, pixels, samples = state["counts"].tolist()
        return {"loss": state["loss"].item() / max(samples, 1), "pixel_accuracy": right / max(pixels, 1)}

    def state_dict(self, ranks: Ranks) -> dict[str, Tensor]:
        """The sums over all processes, on the CPU."""
        loss, counts = ranks.total(self._loss.clone()), ranks.total(self._counts.clone())
        return {"loss": loss.cpu(), "counts": counts.cpu()}

    def load_state_dict(self, state: dict[str, Tensor], ranks: Ranks) -> None:
        """Goes on from those sums: in the first process, since they are the sums of all."""
        if ranks.first:
            self._loss.copy_(state["loss"])
            self._counts.copy_(state["counts"])


class ValidationTotals:
    """Loss and the metrics of a whole split, from one confusion matrix."""

    def __init__(self, classes: int, device: torch.device) -> None:
        self._loss = torch.zeros(2, dtype=torch.float64, device=device)
        self._confusion = Confusion(classes, device)
        self._reference = ReferenceAccuracy(device)

    def add(self, loss: Tensor, logits: Tensor, label: Tensor) -> None:
        """A batch, as `TrainingTotals.add` takes it."""
        self._loss[0] += loss.detach().double() * len(label)
        self._loss[1] += len(label)
        self._confusion.update(logits, label)
        self._reference.update(logits, label)

    def report(self, ranks: Ranks) -> dict[str, Any]:
        """loss, mean over samples; reference_accuracy; what `metrics.scores` gives. Over all processes."""
        self._confusion.all_reduce()
        self._reference.all_reduce()
        loss, samples = ranks.total(self._loss).tolist()
        return {"loss": loss / max(samples, 1), **self._confusion.report(), **self._reference.report()}
