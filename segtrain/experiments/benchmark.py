"""How fast a config trains, part by part: the loader, the forward pass, the training step, and the whole loop."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from itertools import count, cycle
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from segtrain.data.dataloader import Batch, Loader
from segtrain.inference.exported_networks import open_onnx, program, run_onnx, to_onnx
from segtrain.losses import make_loss
from segtrain.networks.catalogue import flops_per_image, known_peak
from segtrain.networks.registry import show_parasite
from segtrain.training.config import Config, load_config
from segtrain.training.device import Compute, choose
from segtrain.training.epoch import FiniteGuard, TrainingTotals
from segtrain.training.generators import seed_generators
from segtrain.training.processes import Ranks
from segtrain.training.schedules import Ema
from segtrain.training.setup import check_maps, make_loaders, make_optimiser, wrap_model
from segtrain.training.training_data import TrainingData, read_training_data
from smearsynth.base.workers import peak_mb, usable_cores
from smearsynth.taxonomy import CLASSES

Figures = dict[str, Any]

SIZE = (224, 224)
"""Height and width of the random images that stand in for a dataset."""
WARM_UP = 3
"""Calls before the clock starts: they choose algorithms, compile, and fill the loader's queue."""
LEAST_SECONDS = 0.5
"""Of one repeat, against which the clock and the start of a GPU's work are nothing."""


def bench(
    dataset: str | Path | None = None,
    *,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    repeats: int = 5,
    peak_tflops: float | None = None,
    onnx: bool = False,
) -> Figures:
    """Times the loader, the forward pass, the training step and the whole loop of a config.

    dataset: a set or a recipe; None is the config's `data`; without either, forward pass and step are timed on random
    images of 224 x 224 px and ten classes. config: a YAML file; None: the defaults. overrides: "key=value" each.
    repeats: of which the median counts, each of at least 0.5 s, after a warm-up. peak_tflops: bf16 matrix peak of the
    device; None is its data sheet's, where it is a known one. onnx: time the forward pass by ONNX Runtime, too: on the
    CPU, in fp32, from bytes to probabilities.

    Keys: device, model, parameters, batch, size, gflop_forward and gflop_step per image, peak_tflops, stages, and
    peak_mb, the most memory that the process took. stages: loader, forward, step, loop, onnx, each with
    images_per_second, device_peak_mb (None on a CPU) and utilisation, the share of the peak (None without one); loop
    also has waiting_share, the share of its time spent waiting for the loader. Of a recipe there is smears, too: what
    one core makes in a second (per_core), the cores that keep up with the loop (cores_for_loop), the share of the CPU
    here that goes into smears and not into the network (cpu_share), and what 16 cores make of which one drives a GPU
    (of_16_cores). Raises UserError.

    >>> figures = segtrain.bench(overrides=["model.name=compact", "batch=1"], repeats=1)
    >>> list(figures["stages"])
    ['forward', 'step']
    """
    asked = load_config(config, overrides)
    root = dataset or asked.data
    compute = choose(amp=asked.amp, channels_last=asked.channels_last, device=asked.device)
    data = read_training_data(asked.model_copy(update={"data": str(root)})) if root else None
    size, classes = (data.shards.size, len(data.shards.classes)) if data else (SIZE, len(CLASSES))
    forward_flops, step_flops = flops_per_image(asked.model.build(classes=classes), size)
    peak = peak_tflops or known_peak(compute.device)
    most_cells = check_maps(asked, data) if data else len(_grid(size).unique())
    step = _Step(asked, compute, classes, most_cells)
    stages = _time_stages(step, asked, data, size, repeats)
    if onnx:
        stages["onnx"] = _time_onnx(asked, classes, size, repeats)
    work = {"forward": forward_flops, "step": step_flops, "loop": step_flops}
    for name, stage in stages.items():
        rate = stage["images_per_second"]
        stage["utilisation"] = rate * work[name] / (peak * 1e12) if peak and name in work else None
    smears = _smears(data, step, asked.batch, stages["loop"]["images_per_second"]) if data and data.once else {}
    return {
        "device": str(compute),
        "model": asked.model.name,
        "parameters": sum(p.numel() for p in step.model.parameters()),
        "batch": asked.batch,
        "size": list(size),
        "gflop_forward": forward_flops / 1e9,
        "gflop_step": step_flops / 1e9,
        "peak_tflops": peak,
        "stages": stages,
        **smears,
        "peak_mb": peak_mb(),
    }


def training_speed(config: Config) -> float:
    """Images per second of the whole training loop of a config, its `data` named, over half a second or more. Raises
    UserError."""
    compute = choose(amp=config.amp, channels_last=config.channels_last, device=config.device)
    data = read_training_data(config)
    step = _Step(config, compute, len(data.shards.classes), check_maps(config, data))
    loader, _ = make_loaders(config, data, compute, Ranks())
    batches = _endless(loader)
    try:
        return float(_time(lambda: step.train(next(batches)), 1, compute.device)["images_per_second"])
    finally:
        batches.close()
        loader.close()


def table(figures: Figures) -> str:
    """The figures for a person."""
    height, width = figures["size"]
    lines = [
        figures["device"],
        f"{figures['model']}, {figures['parameters']:,} parameters, batches of {figures['batch']} images of "
        f"{width}x{height} px, {figures['gflop_step']:.1f} GFLOP per training image",
        "",
        f"{'stage':<10}{'images/s':>12}{'of the peak':>14}{'device MB':>12}",
    ]
    for name, stage in figures["stages"].items():
        share = "-" if stage["utilisation"] is None else f"{stage['utilisation']:.1%}"
        memory = "-" if stage["device_peak_mb"] is None else f"{stage['device_peak_mb']:,.0f}"
        lines.append(f"{name:<10}{stage['images_per_second']:>12,.1f}{share:>14}{memory:>12}")
    if smears := figures.get("smears"):
        lines += [
            "",
            f"smears: one core makes {smears['per_core']:,.1f} a second; the loop takes {smears['cores_for_loop']:.2f} "
            f"cores for them, and {smears['cpu_share']:.1%} of the CPU here goes into them",
            f"16 cores, one of them for a GPU, make {smears['of_16_cores']:,.0f} a second; a GPU that trains faster "
            "waits for them",
        ]
    loop = figures["stages"].get("loop")
    waiting = f"; the loop waited {loop['waiting_share']:.1%} of its time for data" if loop else ""
    return "\n".join([*lines, "", f"peak memory of the process {figures['peak_mb']:,.0f} MB{waiting}"])


class _Step:
    """One step, with what it needs put together as a training does: the loop without what it reads, logs and saves."""

    def __init__(self, config: Config, compute: Compute, classes: int, most_cells: int) -> None:
        seed_generators(config.seed, deterministic=config.deterministic)
        self.compute, self.classes = compute, classes
        self.model = compute.place(config.model.build(classes=classes))
        show_parasite(self.model)
        self.wrapped_model = wrap_model(self.model, config, compute, Ranks())
        self.loss = make_loss(
            config.loss, torch.ones(classes, dtype=torch.int64), most_cells=most_cells, device=compute.device
        )
        self.optimiser = make_optimiser(config, self.model)
        self.guard = FiniteGuard(self.model, self.optimiser, compute.device)
        self.ema = Ema(self.model, config.ema) if config.ema else None
        self.totals = TrainingTotals(compute.device)

    def forward(self, batch: Batch) -> int:
        """A prediction; returns the number of images."""
        with torch.inference_mode():
            self.compute.logits(self.wrapped_model.eval(), batch.image)
        return len(batch.label)

    def train(self, batch: Batch) -> int:
        """A step of the training loop; returns the number of images."""
        batch = batch.to(self.compute.device)
        logits = self.compute.logits(self.wrapped_model.train(), batch.image)
        loss = self.loss(logits, **batch.maps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.guard.watch(loss)
        self.optimiser.step()
        if self.ema:
            self.ema.update(self.model)
        self.totals.add(loss, logits[:, : self.classes], batch.label)
        return len(batch.label)


def _time_stages(
    step: _Step, config: Config, data: TrainingData | None, size: tuple[int, int], repeats: int
) -> dict[str, Figures]:
    device = step.compute.device
    if data is None:
        fixed = _random_batch(config.batch, size, step.classes, device)
        return {
            "forward": _time(lambda: step.forward(fixed), repeats, device),
            "step": _time(lambda: step.train(fixed), repeats, device),
        }
    loader, _ = make_loaders(config, data, step.compute, Ranks())
    batches = _endless(loader)
    fixed = next(batches)
    stages = {
        "loader": _time(lambda: len(next(batches).label), repeats, device),
        "forward": _time(lambda: step.forward(fixed), repeats, device),
        "step": _time(lambda: step.train(fixed), repeats, device),
        "loop": _time(lambda: step.train(next(batches)), repeats, device, waited=lambda: loader.waited),
    }
    batches.close()
    loader.close()
    return stages


def _smears(data: TrainingData, step: "_Step", batch: int, rate: float) -> Figures:
    """What making smears takes beside a loop of that rate, images/s: in seconds of the CPU, which what else runs on the
    machine does not lengthen much. They are made in this process, one after the other."""
    numbers = cycle(range(len(data.shards)))
    smear = _cpu_seconds(lambda: len(data.shards.read(next(numbers))[:1]))
    share = rate * smear / usable_cores()
    if step.compute.device.type == "cpu":
        fixed = _random_batch(batch, data.shards.size, step.classes, step.compute.device)
        share = smear / (smear + _cpu_seconds(lambda: step.train(fixed)))
    return {
        "smears": {"per_core": 1 / smear, "cores_for_loop": rate * smear, "cpu_share": share, "of_16_cores": 15 / smear}
    }


def _cpu_seconds(call: Callable[[], int]) -> float:
    """Of an image, over all threads of this process. call: returns the number of its images."""
    for _ in range(WARM_UP):
        call()
    began, images = time.process_time(), 0
    while (spent := time.process_time() - began) < LEAST_SECONDS:
        images += call()
    return spent / images


def _time_onnx(config: Config, classes: int, size: tuple[int, int], repeats: int) -> Figures:
    session = open_onnx(to_onnx(program(config.model.build(classes=classes).eval())))
    cpu = torch.device("cpu")
    image = _random_batch(config.batch, size, classes, cpu).image.contiguous()
    return _time(lambda: len(run_onnx(session, image)), repeats, cpu)


def _time(
    call: Callable[[], int], repeats: int, device: torch.device, waited: Callable[[], float] | None = None
) -> Figures:
    """call: returns the number of its images. waited: seconds spent waiting so far."""

    def timed(calls: int) -> tuple[int, float]:
        began = _now(device)
        images = sum(call() for _ in range(calls))
        return images, _now(device) - began

    timed(WARM_UP)
    calls = 1
    # Step by step: a loader has its first batches at hand, and from these the others would seem to take no time.
    while (seconds := timed(calls)[1]) < LEAST_SECONDS:
        calls = min(16 * calls, math.ceil(1.2 * calls * LEAST_SECONDS / seconds))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    first, waited_before = _now(device), waited() if waited else 0.0
    rates = [images / seconds for images, seconds in (timed(calls) for _ in range(repeats))]
    figures: Figures = {
        "images_per_second": median(rates),
        "device_peak_mb": torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else None,
    }
    if waited:
        figures["waiting_share"] = (waited() - waited_before) / (_now(device) - first)
    return figures


def _now(device: torch.device) -> float:
    """Seconds, after the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _endless(loader: Loader) -> Generator[Batch, None, None]:
    for epoch in count():
        yield from loader.epoch(epoch)


def _random_batch(batch: int, size: tuple[int, int], classes: int, device: torch.device) -> Batch:
    image = torch.randint(256, (batch, *size, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
    label = torch.randint(classes, (batch, *size), dtype=torch.uint8, device=device)
    instance = _grid(size).to(device).expand(batch, *size)
    return Batch(image, label, torch.arange(batch), instance, (instance % 4 == 0).to(torch.uint8))


def _grid(size: tuple[int, int]) -> Tensor:
    """int32 (H, W): cells of 16 x 16 px, numbered from 1."""
    rows, columns = (torch.arange(side) // 16 for side in size)
    return (1 + rows[:, None] * (columns[-1] + 1) + columns).int()
