"""A small trained run and a drawn field, for tests of the page that shows what a network sees."""

from pathlib import Path

import numpy as np
import torch
from shard_set import write_set

from segtrain.experiments.fit import fit
from smearsynth.base.images import Pixels
from smearsynth.taxonomy import CLASSES, HEALTHY_RBC, INFECTED_RBC

TRAINING = ("model.width=4", "model.norm=batch", "epochs=4", "batch=4", "amp=off", "optimiser.lr=2e-2")


def small_run(folder: Path) -> Path:
    """A run that tells red and green discs from glass."""
    torch.set_num_threads(1)
    data = write_set(folder / "set", size=(48, 48), shown=(INFECTED_RBC, HEALTHY_RBC), train=48, val=8)
    keys = (*TRAINING, "loss.cross_entropy.weights=none")
    return fit(data, overrides=keys, run=folder / "run", pictures=False).run


def drawn_field(height: int = 240, width: int = 320) -> Pixels:
    """u1 (h, w, 3): red cells of 36 px, every third one infected, in the colours and on the glass of the set."""
    y, x = np.mgrid[:height, :width]
    colours = np.array([c.rgb for c in CLASSES])
    field = np.full((height, width, 3), 235.0)
    for number, (top, left) in enumerate(np.ndindex(height // 60, width // 60)):
        inside = (y - top * 60 - 30) ** 2 + (x - left * 60 - 30) ** 2 < 18**2
        field[inside] = colours[INFECTED_RBC if number % 3 == 0 else HEALTHY_RBC]
    grain = np.random.default_rng(0).integers(0, 20, field.shape)
    return (field * 0.8 + grain).astype(np.uint8)
