"""What an epoch of training watches, adds up and says.

The sums are on the device and, but for the loss's last bits, no order of adding changes them. Nothing here makes the
host wait for the device before a figure is read.
"""

import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segtrain.metrics.cell_naming import CellNaming
from segtrain.metrics.confusion import Confusion, ReferenceAccuracy
from segtrain.training.processes import Ranks
from segtrain.training.run_folder import TENSORBOARD, RunFolder
from smearsynth.base.progress import ProgressBar, say
from smearsynth.taxonomy import IGNORE

Figures = dict[str, float]


class FiniteGuard:
    """Keeps a loss or gradient that is not finite from the weights.

    Each step leaves a flag on the device: 0, or 1 from the first step on that was not finite. The fused optimisers of
    torch take such a flag (they were given it for loss scaling) and then leave the weights alone. So the host may look
    at it seldom, and still finds the weights as they were before that step.
    """

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
        """optimiser: a fused one, over the parameters of `model`."""
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._optimiser = optimiser
        self._tripped = torch.zeros((), device=device)
        self._good = torch.zeros((), dtype=torch.int64, device=device)

    def watch(self, loss: Tensor) -> None:
        """Before each step of the optimiser, which changes nothing from the first one on that is not finite."""
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        bad = ~torch.isfinite(loss.detach() + norm)
        self._tripped = torch.maximum(self._tripped, bad.float())
        self._good += self._tripped == 0
        self._optimiser.found_inf = self._tripped  # type: ignore[attr-defined]

    @property
    def good_steps(self) -> int:
        """Steps so far, up to the one that was not finite; reading it waits for the device."""
        return int(self._good)


class TrainingTotals:
    """Loss and pixel accuracy of an epoch of training, measured on the way, while the weights change."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        self._counts = torch.zeros(3, dtype=torch.int64, device=device)

    def add(self, loss: Tensor, logits: Tensor, label: Tensor) -> None:
        """A batch. loss: its mean. logits: float32 (B, C, H, W). label: uint8 (B, H, W), 255 = ignored."""
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
    """Loss and the metrics of a whole split, from one confusion matrix of its pixels and, where it is measured cell by
    cell, one of its cells."""

    def __init__(self, classes: int, device: torch.device, cells: CellNaming | None = None) -> None:
        self._loss = torch.zeros(2, dtype=torch.float64, device=device)
        self._confusion = Confusion(classes, device)
        self._reference = ReferenceAccuracy(device)
        self._cells = cells

    def add(self, loss: Tensor, logits: Tensor, label: Tensor, instance: Tensor | None = None) -> None:
        """A batch, as `TrainingTotals.add` takes it. instance: int32 (B, H, W), where cells are measured."""
        self._loss[0] += loss.detach().double() * len(label)
        self._loss[1] += len(label)
        self._confusion.update(logits, label)
        self._reference.update(logits, label)
        if self._cells:
            assert instance is not None, "the loader reads it where cells are measured"
            self._cells.update(logits, label, instance)

    def report(self, ranks: Ranks) -> dict[str, Any]:
        """loss, mean over samples; reference_accuracy; what `metrics.confusion.scores` and, where cells are measured,
        `CellNaming.report` give. Over all processes."""
        self._confusion.all_reduce()
        self._reference.all_reduce()
        loss, samples = ranks.total(self._loss).tolist()
        report = {"loss": loss / max(samples, 1), **self._confusion.report(), **self._reference.report()}
        if self._cells:
            self._cells.all_reduce()
            report |= self._cells.report()
        return report


class Progress:
    """What the first process of a training says: lines in the log and at the terminal, a bar with loss, speed and time
    left. The others are silent."""

    def __init__(self, run: RunFolder, *, speaks: bool) -> None:
        self._run, self._speaks = run, speaks
        self._bar: ProgressBar | None = None
        self._began, self._images, self._seconds = 0.0, 0, 0.0

    def say(self, line: str) -> None:
        """A line for the log and, above the bar, for whoever looks on."""
        if self._speaks:
            self._run.log(line)
            say(line)

    def begin_epoch(self, name: str, *, step: int, steps: int) -> None:
        """An epoch begins, `step` steps into a training of `steps`; the bar is over all of it."""
        if self._bar is None:
            self._bar = ProgressBar(what=name, unit="steps", total=steps, done=step, shown=self._speaks)
        self._bar.set_description_str(name, refresh=False)
        self._began, self._images, self._seconds = time.perf_counter(), 0, 0.0

    def trained(self, steps: int, images: int, loss: float) -> None:
        """So many steps and images more, over all processes; `loss`: of the last of them."""
        self._images, self._seconds = self._images + images, time.perf_counter() - self._began
        assert self._bar is not None, "an epoch has begun"
        self._bar.set_postfix_str(f"loss {loss:.4g}, {self._images / self._seconds:,.1f} images/s", refresh=False)
        self._bar.update(steps)

    def speed(self, waited: float) -> Figures:
        """Of what this process trained in this epoch. waited: seconds that it waited for data."""
        seconds = self._seconds or 1.0
        return {
            "images": self._images,
            "training_seconds": self._seconds,
            "images_per_second": self._images / seconds,
            "waiting_share": waited / seconds,
        }

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class TensorBoard:
    """Writes the rows of `metrics.csv` for TensorBoard."""

    @staticmethod
    def installed() -> bool:
        """Whether it can be written."""
        return find_spec("tensorboard") is not None

    def __init__(self, run: Path, epoch: int) -> None:
        """epoch: what an interrupted training wrote from this one on is dropped."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run / TENSORBOARD), purge_step=epoch)

    def add(self, row: Mapping[str, float | int]) -> None:
        """row: column to value; train_* and val_* of a measure share a plot's name, `measure/train`."""
        for column, value in row.items():
            if column not in ("epoch", "step"):
                prefix, _, measure = column.partition("_")
                tag = f"{measure}/{prefix}" if prefix in ("train", "val") else column
                self._writer.add_scalar(tag, value, int(row["epoch"]))
        self._writer.flush()

    def close(self) -> None:
        """Ends the file."""
        self._writer.close()
