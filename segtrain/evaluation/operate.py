"""The operating point of a run, chosen on a set of smears: see `inference.operating_point`.

The set must be of a laboratory that gave no cell to the training: on cells that a network knows, it needs no threshold.
Its cells are counted as those of a real field are, and each is what most of its pixels are of.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from segtrain.counting.cell_measures import FieldCells, count_field
from segtrain.counting.cell_names import red_ids
from segtrain.data.samples import Shards
from segtrain.evaluation.evaluate import check_classes
from segtrain.inference.image_reader import ArrayReader
from segtrain.inference.operating_point import FALSE_ALARMS, OperatingPoint, choose
from segtrain.inference.ready_networks import load_networks
from segtrain.training.run_folder import load_trained
from smearsynth.base.errors import UserError
from smearsynth.base.progress import with_progress

_MOSTLY = 0.5
"""Share of a found cell that must be of one cell of the set."""


def operate(
    run: str | Path,
    dataset: str | Path,
    *,
    split: str = "test",
    false_alarms: float = FALSE_ALARMS,
    cells: str | Path | None = None,
    which: Literal["best", "last"] = "best",
    device: str = "auto",
    progress: bool = True,
) -> OperatingPoint:
    """Chooses the operating point of `run` on a split of `dataset`, and writes it into the run's folder, where `count`
    finds it. false_alarms: healthy red cells of 1,000 that may be called infected, 0 to 1,000. cells: the run of a
    network that names the cells which `run` finds; the operating point is that run's. which: the network of the best
    epoch or of the last. device: "auto", "cpu", "cuda" or "cuda:1". progress: bars on stderr, or lines in a log.
    Raises UserError: a network that does not name whole cells, a set that it was trained on or that does not know its
    cells, too few cells.

    >>> point = segtrain.operate("runs/names", "ward", false_alarms=5, progress=False)
    >>> point.false_alarms.hits <= 0.005 * point.false_alarms.total
    True
    """
    namer = Path(run if cells is None else cells)
    trained, shards = load_trained(namer, which), Shards(Path(dataset), split)
    networks = load_networks([run], which=which, device=device, cells=cells, with_point=False)
    if not trained.config.loss.cells:
        raise UserError(f"{run} has not learnt to name whole cells: train it with `loss.cells`")
    if not shards.header.fields:
        raise UserError(f"{shards.root} does not know its cells: take a set that smearsynth built")
    if trained.data_digest == shards.digest:
        raise UserError(f"{namer} was trained on {shards.root}: take a set of cells of another laboratory")
    check_classes(networks.classes, shards)
    red = red_ids(networks.classes.keys)
    if red is None:
        raise UserError(f"{run} does not tell infected red cells from healthy ones: take a network that does")
    score, infected = [], []
    for number in with_progress(range(len(shards)), what="name cells", unit="smears", shown=progress):
        image, label = shards.read(number)
        reader = ArrayReader(image, f"{shards.root}, smear {number}")
        found, _ = count_field(networks, reader, networks.um_per_px)
        instance = shards.instance(number)
        kind = np.zeros(int(instance.max()) + 1, np.int64)
        kind[instance.ravel()] = label.ravel()
        for odds, true in _matched(found, instance):
            if kind[true] in red:
                score.append(odds)
                infected.append(kind[true] == red[0])
    point = choose(
        np.array(score),
        np.array(infected, bool),
        false_alarms=false_alarms,
        odds_of=networks.odds_of,
        # It is handed on with the weights, and a path may name whom the images are of.
        measured_on=f"{shards.root.resolve().name} ({shards.digest[:12]}), {split}",
        epoch=trained.epoch,
    )
    point.save(namer)
    return point


def _matched(found: FieldCells, instance: npt.NDArray[np.uint16]) -> list[tuple[float, int]]:
    """Log-odds of each red cell that was found, and the number of the cell of the set that it mostly is."""
    most = int(instance.max()) + 1
    pairs = np.bincount((found.map.astype(np.int64) * most + instance).ravel(), minlength=(len(found.cells) + 1) * most)
    shared = pairs.reshape(-1, most)
    matched = []
    for cell in found.cells:
        row = shared[cell.number]
        true = int(row[1:].argmax()) + 1 if most > 1 else 0
        if cell.infected_odds is not None and true and row[true] >= _MOSTLY * row.sum():
            matched.append((cell.infected_odds, true))
    return matched


def point_text(point: OperatingPoint) -> str:
    """The operating point for a person."""
    alarms, recall = point.false_alarms, point.recall
    return (
        f"infected from log-odds of {point.threshold:.2f} on, on {point.measured_on}: {1000 * alarms.value:.1f} false "
        f"alarms per 1,000 ({alarms.hits} of {alarms.total:,} healthy cells), {recall.value:.1%} of the infected are "
        f"called so ({recall.hits} of {recall.total:,})"
    )
