"""A config, put together into a training. What does not need the weights is checked before the disk is touched."""

from pathlib import Path

import torch
from torch import nn

from segtrain.data.dataloader import Loader
from segtrain.data.in_memory import InMemoryDataset, held_in_memory, memory_for
from segtrain.data.sampler import Budget
from segtrain.data.samples import INSTANCE, PARASITE, Shards
from segtrain.losses import absent_classes, make_loss
from segtrain.networks import checkpoint
from segtrain.networks.registry import encoder_part, first_weights, show_parasite
from segtrain.training.config import Config
from segtrain.training.device import Compute, choose
from segtrain.training.epoch import Progress, TensorBoard, TrainingTotals
from segtrain.training.generators import seed_generators
from segtrain.training.loop import Training, restore, write_tables
from segtrain.training.processes import Ranks
from segtrain.training.run_folder import CONFIG, FIELDS, RunFolder, load_trained
from segtrain.training.schedules import EarlyStop, Ema, how_it_goes_on
from segtrain.training.training_data import (
    Identity,
    TrainingData,
    check_unchanged,
    identity_of,
    lengthened,
    of_length,
    read_training_data,
)
from smearsynth.base.config_file import dump_yaml
from smearsynth.base.errors import UserError
from smearsynth.base.workers import usable_cores


def prepare(config: Config, run: RunFolder, ranks: Ranks, *, resume: bool) -> Training:
    """Everything that the loop needs; writes the run's folder only when nothing speaks against it."""
    compute = choose(amp=config.amp, channels_last=config.channels_last, device=config.device, local=ranks.local)
    state = _state_to_resume(run, resume=resume)
    before = state["identity"] if state and isinstance(state["identity"], dict) else {}
    if state and before:
        config = lengthened(config, before, state["epoch"] + bool(state["step"]), run.path)
    data = read_training_data(config)
    identity = identity_of(config, data)
    if state:
        check_unchanged(of_length(before, config, data), identity, run.path)
    _check_sizes(config, len(data), ranks.world)
    most_cells = check_maps(config, data)
    classes = data.shards.classes
    pixels = torch.from_numpy(data.pixels_per_class)
    training, validation = make_loaders(config, data, compute, ranks)
    seed_generators(config.seed, deterministic=config.deterministic)
    model = config.model.build(classes=len(classes))
    pretrained = Path(config.model.pretrained) if config.model.pretrained else None
    if config.start and not state:
        beginning = _load_start(model, Path(config.start), identity)
    else:
        beginning = "" if state else first_weights(model, config.model.name, pretrained)
    if config.loss.parasite:  # else it is not learnt on, and no loss may take it for a class
        show_parasite(model)
    ranks.wait()
    progress = Progress(run, speaks=ranks.first)
    if ranks.first:
        run.path.mkdir(parents=True, exist_ok=True)
        run.write_text(CONFIG, dump_yaml(config.model_dump(mode="json")))
    several = f" x {ranks.world}" if ranks.world > 1 else ""
    progress.say(f"{config.data} to {run.path}, on {compute}{several}")
    if absent := absent_classes(pixels, classes.keys, learnt=bool(config.start)):
        progress.say(absent)
    if beginning:
        progress.say(beginning)
    model = compute.place(model)
    tensorboard = None
    if ranks.first and TensorBoard.installed():
        tensorboard = TensorBoard(run.path, epoch=state["epoch"] + 1 if state else 1)
    t = Training(
        config=config,
        compute=compute,
        ranks=ranks,
        run=run,
        progress=progress,
        shards=data.shards,
        identity=identity,
        model=model,
        wrapped_model=wrap_model(model, config, compute, ranks),
        ema=Ema(model, config.ema) if config.ema else None,
        loss=make_loss(config.loss, pixels, most_cells=most_cells, device=compute.device),
        optimiser=make_optimiser(config, model),
        training=training,
        validation=validation,
        early_stop=EarlyStop(config.early_stop, config.monitor) if config.early_stop else None,
        totals=TrainingTotals(compute.device),
        tensorboard=tensorboard,
        most_cells=most_cells,
    )
    if state:
        restore(t, state)
        progress.say(f"goes on in epoch {t.epoch + 1} after step {t.step}")
        if (epochs := before["config"]["epochs"]) != config.epochs:
            step = t.epoch * len(training) + t.step
            progress.say(how_it_goes_on(config.schedule, step, len(training), epochs, config.epochs))
    write_tables(t)
    return t


def check_folder(run: RunFolder, *, resume: bool) -> None:
    """UserError where the run may not be begun, or not be resumed."""
    if run.path.exists() and not run.path.is_dir():
        raise UserError(f"{run.path} is a file: name a folder", "run")
    # A kill before the first file is whole leaves its part, and no run.
    begun = run.path.is_dir() and any(f.suffix != ".part" and f.name != FIELDS for f in run.path.iterdir())
    if begun and not resume:
        raise UserError(f"{run.path} is not empty: resume its run, or name another folder", "resume", "run")
    if resume and not (run.path / CONFIG).is_file():
        raise UserError(f"{run.path} holds no run that could be resumed: begin one, or check it", "resume", "run")


def _state_to_resume(run: RunFolder, *, resume: bool) -> checkpoint.State | None:
    """The state to go on from; None to begin with. UserError as of `check_folder`, and where it is missing."""
    check_folder(run, resume=resume)
    if not run.last.exists():
        # A kill between the two checkpoints of the first epoch leaves the best alone; later it cannot.
        if run.best.exists() and checkpoint.load(run.best).get("epoch") != 1:
            raise UserError(f"{run.last} is missing: put it back, or begin anew in another folder", "run")
        return None
    state = checkpoint.load(run.last)
    if "identity" not in state:
        raise UserError(f"{run.last} is no checkpoint of a training: begin anew in another folder", "run")
    return state


def _load_start(model: nn.Module, start: Path, identity: Identity) -> str:
    """Puts the weights of a run into a new network; a sentence for the log. UserError where they are of another
    network, or learnt other classes or another scale."""
    known = load_trained(start)
    for what, here, there in (
        ("classes", ", ".join(identity["classes"]["keys"]), ", ".join(known.classes.keys)),
        ("scale", f"{identity['um_per_px']:g} um/px", f"{known.um_per_px:g} um/px"),
    ):
        if here != there:
            raise UserError(f"{start} knows the {what} {there}, and the data has {here}: begin with another", "start")
    try:
        model.load_state_dict(known.model.state_dict())
    except RuntimeError as error:
        raise UserError(
            f"{start} is a {known.config.model.name}, whose weights do not fit the config's model "
            f"({checkpoint.in_short(error)}): leave `model` out of the config",
            "start",
        ) from None
    return f"begins with the weights of {start}, epoch {known.epoch}"


def _check_sizes(config: Config, samples: int, world: int) -> None:
    if config.batch % world:
        raise UserError(f"batch: {config.batch} cannot be shared by {world} processes: make it a multiple of {world}.")
    if config.images and world > 1:
        raise UserError(f"images: are counted in one process, and there are {world}: start one, or give `epochs`.")
    if Path(config.data or "").is_file() and world > 1:
        raise UserError(f"{config.data}: a recipe's smears are made for one process, and there are {world}: start one.")
    if samples < world:
        raise UserError(f"{config.data} has fewer training samples than there are processes ({world}): start fewer.")


def check_maps(config: Config, data: TrainingData) -> int:
    """The most cells that an image can have, 0 where none are looked at. UserError where the data has no map of what is
    to be learnt or watched."""
    splits = (data.shards, data.held_out)
    if config.measures_cells and not all(shards.has(INSTANCE) for shards in splits):
        key, remedy = ("loss.cells", "remove it") if config.loss.cells else ("monitor", "watch another figure")
        raise UserError(
            f"{key}: {data.shards.root} does not say which pixels are of one cell, as sets do that smearsynth built: "
            f"{remedy}."
        )
    if config.loss.parasite and not all(shards.has(PARASITE) for shards in splits):
        raise UserError(
            f"loss.parasite: {data.shards.root} has no parasite masks: build it of a recipe with grafts, or remove it "
            "and `model.parasite`."
        )
    return max(shards.most_cells for shards in splits) if config.measures_cells else 0


def make_loaders(config: Config, data: TrainingData, compute: Compute, ranks: Ranks) -> tuple[Loader, Loader]:
    """Of the samples to learn from, and of those to validate on."""
    sources: list[Shards | InMemoryDataset] = [data.shards, data.held_out]
    if config.resident:
        # With `overfit` and `fold` both are one, which is read and held once.
        splits = dict.fromkeys((data.shards, data.held_out))
        maps = config.maps(validation=True)
        places = {s: memory_for(s, compute.device, maps) for s in splits}
        held = {s: InMemoryDataset(s, place, workers=usable_cores(), maps=maps) for s, place in places.items()}
        sources = [held[data.shards], held[data.held_out]]
    elif data.once:
        sources[1] = held_in_memory(data.held_out, config.maps(validation=True))
    batch = config.batch // ranks.world
    images = config.images or (len(data) if data.once else None)
    budget = Budget(images, config.epochs) if images else None
    training, validation = (
        Loader(
            source,
            batch=batch,
            shuffle=trains,
            seed=config.seed,
            augment=config.augment if trains else None,
            samples=samples,
            budget=budget if trains else None,
            maps=config.maps(validation=not trains),
            workers=config.workers,
            device=compute.device,
            rank=ranks.rank,
            world=ranks.world,
        )
        for source, samples, trains in zip(sources, (data.training, data.validation), (True, False), strict=True)
    )
    return training, validation


def wrap_model(model: nn.Module, config: Config, compute: Compute, ranks: Ranks) -> nn.Module:
    """The network as the loop calls it: with its gradients shared among processes, compiled, or as it is."""
    wrapped = model
    if ranks.world > 1:
        devices = [compute.device] if compute.device.type == "cuda" else None
        wrapped = nn.parallel.DistributedDataParallel(wrapped, device_ids=devices, gradient_as_bucket_view=True)
    return torch.compile(wrapped) if config.compile else wrapped  # type: ignore[return-value]


def make_optimiser(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Fused, which is fast and lets `FiniteGuard` hold a step back. Biases and normalisation do not decay; an encoder
    that has learnt already has groups of its own, whose `rate` is a factor on the learning rate."""
    spec, part = config.optimiser, encoder_part(model)
    learnt = set(part.down.parameters()) if part else set()
    groups = []
    for parameters, rate in (
        ([p for p in model.parameters() if p not in learnt], 1.0),
        ([p for p in model.parameters() if p in learnt], part.encoder_rate if part else 1.0),
    ):
        if parameters:
            decaying, others = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
            groups.append({"params": decaying, "weight_decay": spec.weight_decay, "rate": rate})
            groups.append({"params": others, "weight_decay": 0.0, "rate": rate})
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[spec.name](groups, lr=spec.lr, fused=True)
