"""The training loop, from top to bottom in the order in which things happen.

The host waits for the device in one place, where the loss is read for the log; a GPU therefore runs ahead of it for
several steps. Everything that decides the weights is a function of the config, the data and the step, or is in the
checkpoint: so a training that was killed and resumed ends with the weights of one that was not.
"""

import math
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from segtrain.data.dataloader import Loader
from segtrain.data.samples import Shards
from segtrain.losses import Loss
from segtrain.metrics.cell_naming import CellNaming
from segtrain.networks import checkpoint
from segtrain.training.config import Config
from segtrain.training.device import Compute
from segtrain.training.epoch import Figures, FiniteGuard, Progress, TensorBoard, TrainingTotals, ValidationTotals
from segtrain.training.generators import random_states, restore_random_states
from segtrain.training.processes import Ranks, StopSignal, TrainingStoppedError
from segtrain.training.run_folder import METRICS, SPEED, RunFolder
from segtrain.training.schedules import EarlyStop, Ema, learning_rate_factor
from segtrain.training.training_data import Identity
from smearsynth.base.errors import UserError, WorkError

STEPS_BETWEEN_READINGS = {"cpu": 1, "cuda": 20}
"""Of the loss, by device; a CPU has nothing to run ahead of."""


@dataclass(kw_only=True)
class Training:
    """One training: what it works with, and how far it is."""

    config: Config
    compute: Compute
    ranks: Ranks
    run: RunFolder
    progress: Progress
    shards: Shards
    """The training split, for its classes and the names of its samples."""
    identity: Identity
    """What a resume must find unchanged, and what whoever uses the network must know."""
    model: nn.Module
    """The network itself, as it is saved."""
    wrapped_model: nn.Module
    """The same network as it is called in training: compiled, or wrapped to share its gradients."""
    ema: Ema | None
    """Holds a copy of the network with averaged weights."""
    loss: Loss
    optimiser: torch.optim.Optimizer
    training: Loader
    validation: Loader
    early_stop: EarlyStop | None
    totals: TrainingTotals
    """Of the epoch that is being trained."""
    tensorboard: TensorBoard | None
    most_cells: int = 0
    """That an image can have, where cells are learnt or measured."""
    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished steps of the epoch after them."""
    rows: list[Figures] = field(default_factory=list)
    """Of `metrics.csv`."""
    speeds: list[Figures] = field(default_factory=list)
    """Of `speed.csv`."""

    @property
    def evaluated_model(self) -> nn.Module:
        """The network that is validated and handed on: with averaged weights, where the config asks for them."""
        return self.ema.averaged_model if self.ema else self.model

    @property
    def learning_rate(self) -> float:
        """Of the step that comes next: a function of its number and, for a plateau, of the finished epochs."""
        steps, epochs = len(self.training), self.config.epochs
        step, history = self.epoch * steps + self.step, self.watched
        factor = learning_rate_factor(self.config.schedule, step, steps_per_epoch=steps, epochs=epochs, history=history)
        return self.config.optimiser.lr * factor

    @property
    def watched(self) -> list[float]:
        """The figure that decides the best epoch, of every finished epoch."""
        return [row[f"val_{self.config.monitor}"] for row in self.rows]

    @property
    def best_epoch(self) -> int:
        """Counted from 1, the first of equals; 0 before any epoch is finished."""
        known = [-math.inf if math.isnan(value) else value for value in self.watched]
        return known.index(max(known)) + 1 if known else 0


def train(t: Training, stop: StopSignal) -> str:
    """Trains to the end and returns why it ended.

    Raises TrainingStoppedError after saving, when a signal asked for it; WorkError without saving, for a loss that is
    not finite and for a GPU whose memory is full.
    """
    try:
        while t.epoch < t.config.epochs and not (t.early_stop and t.early_stop.reason):
            began = time.perf_counter()
            trained = _train_epoch(t, stop)
            validated = _validate(t, stop)
            _finish_epoch(t, trained, validated, time.perf_counter() - began)
    except torch.OutOfMemoryError as error:
        raise WorkError(
            f"The GPU has too little memory for a batch of {t.config.batch} images in epoch {t.epoch + 1}: set a "
            "smaller `batch`, or share it among more devices."
        ) from error
    return (t.early_stop and t.early_stop.reason) or f"all {t.config.epochs} epochs are done"


def _train_epoch(t: Training, stop: StopSignal) -> Figures:
    """The rest of an epoch; its speed."""
    config, device, steps, classes = t.config, t.compute.device, len(t.training), len(t.shards.classes)
    every = STEPS_BETWEEN_READINGS[device.type]
    guard = FiniteGuard(t.model, t.optimiser, device)
    waited, saved, read = t.training.waited, time.monotonic(), 0
    numbers: list[Tensor] = []
    name = f"epoch {t.epoch + 1}/{config.epochs}"
    t.progress.begin_epoch(name, step=t.epoch * steps + t.step, steps=config.epochs * steps)
    t.wrapped_model.train()
    for batch in t.training.epoch(t.epoch, start=t.step):
        numbers.append(batch.number)
        rate = t.learning_rate
        for group in t.optimiser.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)  # a checkpoint of before has none
        batch = batch.to(device)
        logits = t.compute.logits(t.wrapped_model, batch.image)
        loss = t.loss(logits, **batch.maps)
        t.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        guard.watch(loss)
        t.optimiser.step()
        if t.ema:
            t.ema.update(t.model)
        t.totals.add(loss, logits[:, :classes], batch.label)
        t.step += 1
        # Several processes must agree on a stop, for which they wait for each other: only where they do so anyway.
        stopping_alone = stop.by and t.ranks.world == 1
        if t.step % every and t.step < steps and not stopping_alone:
            continue
        # The rest of the loop is where the host waits for the device.
        good = guard.good_steps
        due = t.ranks.first and time.monotonic() - saved > 60 * config.save_minutes
        bad, stopping, saving = t.ranks.any(good < len(numbers), bool(stop.by), due, device=device)
        if bad:
            _refuse_to_go_on(t, numbers, good)
        images = t.ranks.world * sum(map(len, numbers[read:]))
        t.progress.trained(len(numbers) - read, images, loss.item())
        read = len(numbers)
        if stopping:
            _save_and_stop(t, stop)
        if saving:
            save(t)
            saved = time.monotonic()
    return t.progress.speed(t.training.waited - waited)


def _refuse_to_go_on(t: Training, numbers: list[Tensor], good: int) -> NoReturn:
    """numbers: of the samples of every step so far. good: how many of these steps were finite."""
    step = t.step - len(numbers) + good + 1
    mine = numbers[good].tolist() if good < len(numbers) else []
    names = [t.shards.sample_id(number) for number in mine]
    raise WorkError(
        f"The loss or its gradient is not finite in epoch {t.epoch + 1}, step {step} of {len(t.training)}, and the "
        f"weights were left as they were before it. Look at its samples, {', '.join(names) or 'of another process'}; "
        "or lower optimiser.lr."
    )


def _save_and_stop(t: Training, stop: StopSignal) -> NoReturn:
    save(t)
    by = f" by {stop.by}" if stop.by else ""  # another process was signalled
    raise TrainingStoppedError(
        f"Stopped{by} in epoch {t.epoch + 1} after step {t.step} of {len(t.training)}; saved in {t.run.last}: "
        "resume it to go on",
        "resume",
    )


def _validate(t: Training, stop: StopSignal) -> dict[str, Any]:
    """What `ValidationTotals.report` says of the validation split, each sample counted once."""
    # Running means of batch normalisation differ between processes; those of the first are saved.
    t.ranks.share([*t.model.buffers(), *t.evaluated_model.buffers()])
    keys, device = t.shards.classes.keys, t.compute.device
    cells = CellNaming(keys, t.most_cells, device) if t.config.measures_cells else None
    totals = ValidationTotals(len(keys), device, cells)
    model = t.evaluated_model.eval()
    with torch.inference_mode():
        for batch in t.validation.epoch(0):
            batch = batch.to(device)
            logits = t.compute.logits(model, batch.image)
            totals.add(t.loss(logits, **batch.maps), logits[:, : len(keys)], batch.label, batch.instance)
            if stop.by and t.ranks.world == 1:
                _save_and_stop(t, stop)
    return totals.report(t.ranks)


def _finish_epoch(t: Training, trained: Figures, validated: dict[str, Any], seconds: float) -> None:
    """The epoch's rows, checkpoints and line in the log."""
    per_class = zip(t.shards.classes.keys, validated.pop("per_class"), strict=True)
    row = {"epoch": t.epoch + 1, "step": (t.epoch + 1) * len(t.training), "lr": t.optimiser.param_groups[0]["lr"]}
    row |= {f"train_{name}": value for name, value in t.totals.figures(t.ranks).items()}
    row |= {f"val_{name}": value for name, value in validated.items()}
    row |= {f"val_iou_{key}": scores["iou"] for key, scores in per_class}
    speed = {"epoch": t.epoch + 1, "seconds": seconds, **trained}
    t.rows.append(row)
    t.speeds.append(speed)
    if t.early_stop:
        t.early_stop.update(t.watched[-1])
    t.epoch, t.step, t.totals = t.epoch + 1, 0, TrainingTotals(t.compute.device)
    is_best = t.best_epoch == t.epoch
    # The best before the last: a kill between them repeats the epoch, instead of forgetting that it was the best.
    if is_best:
        save(t, best=True)
    save(t)
    write_tables(t)
    if t.tensorboard:
        t.tensorboard.add(row)
    t.progress.say(
        f"epoch {t.epoch}/{t.config.epochs}  loss {row['train_loss']:.4f} / {row['val_loss']:.4f}  "
        f"pixel accuracy {row['train_pixel_accuracy']:.4f} / {row['val_pixel_accuracy']:.4f}  "
        f"mIoU {row['val_miou']:.4f}  {speed['images_per_second']:,.1f} images/s, "
        f"{speed['waiting_share']:.1%} of it waiting for data{'  best' if is_best else ''}"
    )


def write_tables(t: Training) -> None:
    """Both tables of the run, whole: what a killed training had written beyond its checkpoint goes."""
    if t.ranks.first:
        t.run.write_table(METRICS, t.rows)
        t.run.write_table(SPEED, t.speeds)


def save(t: Training, *, best: bool = False) -> None:
    """Writes the checkpoint to go on from, or that of the best epoch."""
    state = {
        "identity": t.identity,
        "model": t.model.state_dict(),
        "optimiser": t.optimiser.state_dict(),
        "ema": t.ema.state_dict() if t.ema else None,
        "early_stop": t.early_stop.state_dict() if t.early_stop else None,
        "totals": t.totals.state_dict(t.ranks),
        "epoch": t.epoch,
        "step": t.step,
        "rows": t.rows,
        "speeds": t.speeds,
        "random": random_states(),
    }
    if t.ranks.first:
        checkpoint.save(t.run.best if best else t.run.last, state)


def restore(t: Training, state: checkpoint.State) -> None:
    """Brings a new training to where `state` was saved. UserError where it is not the state of such a training."""
    try:
        t.model.load_state_dict(state["model"])
        t.optimiser.load_state_dict(state["optimiser"])
        if t.ema:
            t.ema.load_state_dict(state["ema"])
        if t.early_stop:
            t.early_stop.load_state_dict(state["early_stop"])
        t.totals.load_state_dict(state["totals"], t.ranks)
        t.epoch, t.step, t.rows, t.speeds = state["epoch"], state["step"], state["rows"], state["speeds"]
        restore_random_states(state["random"])
        numbers = [row["epoch"] for row in t.rows]
        fits = 0 <= t.step <= len(t.training) and len(t.watched) == len(t.speeds) == t.epoch <= t.config.epochs
        if not fits or numbers != list(range(1, t.epoch + 1)):
            raise ValueError(f"epoch {t.epoch}, step {t.step} and {len(numbers)} rows do not go together")
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{t.run.last} is no state of this training ({checkpoint.in_short(error)}): begin anew in another folder",
            "run",
        ) from error
