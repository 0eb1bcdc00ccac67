"""A config, put together into a training: everything is checked first, and the disk is touched only then."""

import os
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn

from segtrain.data.dataloader import Loader
from segtrain.data.in_memory import Resident, memory_for
from segtrain.data.sampler import Budget
from segtrain.data.samples import Shards
from segtrain.losses import absent_classes, make_loss
from segtrain.networks import checkpoint
from segtrain.networks.starting_weights import load_pretrained, pretrained_part
from segtrain.training import loop
from segtrain.training.config import Config, ModelSpec
from segtrain.training.device import Compute, choose
from segtrain.training.early_stopping import EarlyStop
from segtrain.training.epoch import Progress, TrainingTotals
from segtrain.training.loop import Scalars, Training
from segtrain.training.ranks import Ranks
from segtrain.training.run_folder import CONFIG, Identity, Run, check_unchanged, identity
from segtrain.training.training_data import Parts, read_parts
from segtrain.training.weight_average import Ema
from smearsynth.base.documents import dump_yaml
from smearsynth.base.errors import UserError
from smearsynth.base.workers import usable_cores


def prepare(config: Config, where: Run, ranks: Ranks, *, resume: bool) -> Training:
    """Everything that the loop needs; writes the run's folder only when nothing speaks against it."""
    compute = choose(amp=config.amp, channels_last=config.channels_last, device=config.device, local=ranks.local)
    parts = read_parts(config)
    shards = parts.shards
    known = identity(config, parts)
    state = _state(where, known, resume=resume)
    _check_sizes(config, len(parts), ranks.world)
    pixels = torch.from_numpy(parts.pixels_per_class)
    training, validation = make_loaders(config, parts, compute, ranks)
    start_generators(config)
    model = config.model.build(classes=len(shards.classes))
    if config.model.pretrained and not state:
        load_pretrained(model, Path(config.model.pretrained))
    ranks.wait()
    progress = Progress(where, speaks=ranks.first)
    if ranks.first:
        where.folder.mkdir(parents=True, exist_ok=True)
        where.write_text(CONFIG, dump_yaml(config.model_dump(mode="json")))
    progress.say(f"{config.data} to {where.folder}, on {compute}{f' x {ranks.world}' * (ranks.world > 1)}")
    if absent := absent_classes(pixels, shards.classes.keys):
        progress.say(absent)
    if pretrained_part(model) and not state:
        progress.say(_beginning(config.model))
    model = compute.place(model)
    t = Training(
        config=config,
        compute=compute,
        ranks=ranks,
        run=where,
        progress=progress,
        shards=shards,
        identity=known,
        model=model,
        network=as_called(model, config, compute, ranks),
        loss=make_loss(config.loss, pixels, device=compute.device),
        optimiser=make_optimiser(config, model),
        training=training,
        validation=validation,
        ema=Ema(model, config.ema) if config.ema else None,
        early_stop=EarlyStop(config.early_stop, config.monitor) if config.early_stop else None,
        totals=TrainingTotals(compute.device),
        scalars=_scalars(where, ranks, state),
    )
    if state:
        loop.restore(t, state)
        progress.say(f"goes on in epoch {t.epoch + 1} after step {t.step}")
    loop.write_tables(t)
    return t


def _state(where: Run, known: Identity, *, resume: bool) -> checkpoint.State | None:
    """The state to go on from; None to begin with. UserError where the run may not be begun, or not be resumed."""
    if where.folder.exists() and not where.folder.is_dir():
        raise UserError(f"{where.folder} is a file: name a folder by --run.")
    # A kill before the first file is whole leaves its part, and no run.
    begun = where.folder.is_dir() and any(file.suffix != ".part" for file in where.folder.iterdir())
    if begun and not resume:
        raise UserError(f"{where.folder} is not empty: go on with its run by --resume, or name another by --run.")
    if resume and not (where.folder / CONFIG).is_file():
        raise UserError(f"{where.folder} holds no run that could be resumed: leave --resume out, or check --run.")
    if not where.last.exists():
        # A kill between the two checkpoints of the first epoch leaves the best alone; later it cannot.
        if where.best.exists() and checkpoint.load(where.best).get("epoch") != 1:
            raise UserError(f"{where.last} is missing: put it back, or begin anew with another --run.")
        return None
    state = checkpoint.load(where.last)
    if "identity" not in state:
        raise UserError(f"{where.last} is no checkpoint of a training: begin anew with another --run.")
    check_unchanged(state["identity"], known, str(where.folder))
    return state


def _beginning(spec: ModelSpec) -> str:
    """A sentence for the log on the weights of a network that may begin with pretrained ones."""
    if spec.pretrained:
        return f"{spec.name} begins with the weights in {spec.pretrained}"
    return f"{spec.name} trains from scratch: `model.pretrained` names no weights to begin with"


def _check_sizes(config: Config, samples: int, world: int) -> None:
    if config.batch % world:
        raise UserError(f"batch: {config.batch} cannot be shared by {world} processes: make it a multiple of {world}.")
    if config.images and world > 1:
        raise UserError(f"images: are counted in one process, and there are {world}: start one, or give `epochs`.")
    if samples < world:
        raise UserError(f"{config.data} has fewer training samples than there are processes ({world}): start fewer.")


def make_loaders(config: Config, parts: Parts, compute: Compute, ranks: Ranks) -> tuple[Loader, Loader]:
    """Of the samples to learn from, and of those to validate on."""
    sources: list[Shards | Resident] = [parts.shards, parts.held_out]
    if config.resident:
        # With `overfit` and `fold` both are one, which is read and held once.
        splits = dict.fromkeys((parts.shards, parts.held_out))
        held = {s: Resident(s, memory_for(s, compute.device), workers=usable_cores()) for s in splits}
        sources = [held[parts.shards], held[parts.held_out]]
    batch = config.batch // ranks.world
    budget = Budget(config.images, config.epochs) if config.images else None
    training, validation = (
        Loader(
            source,
            batch=batch,
            shuffle=trains,
            seed=config.seed,
            augment=config.augment if trains else None,
            samples=samples,
            budget=budget if trains else None,
            workers=config.workers,
            device=compute.device,
            rank=ranks.rank,
            world=ranks.world,
        )
        for source, samples, trains in zip(sources, (parts.training, parts.validation), (True, False), strict=True)
    )
    return training, validation


def start_generators(config: Config) -> None:
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)  # noqa: NPY002  (for whatever else may draw from it)
    torch.manual_seed(config.seed)
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(config.deterministic)
    torch.backends.cudnn.benchmark = not config.deterministic


def as_called(model: nn.Module, config: Config, compute: Compute, ranks: Ranks) -> nn.Module:
    """The network as the loop calls it."""
    network = model
    if ranks.world > 1:
        devices = [compute.device] if compute.device.type == "cuda" else None
        network = nn.parallel.DistributedDataParallel(network, device_ids=devices, gradient_as_bucket_view=True)
    return torch.compile(network) if config.compile else network  # type: ignore[return-value]


def make_optimiser(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Fused, which is fast and lets `Guard` hold a step back. Biases and normalisation do not decay."""
    spec, parameters = config.optimiser, list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[spec.name](groups, lr=spec.lr, fused=True)


def _scalars(where: Run, ranks: Ranks, state: checkpoint.State | None) -> Scalars | None:
    """Rows go to TensorBoard too, where it is installed."""
    from segtrain.training import tensorboard

    if not (ranks.first and tensorboard.installed()):
        return None
    return tensorboard.Scalars(where.folder, epoch=state["epoch"] + 1 if state else 1)
