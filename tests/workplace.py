"""A folder with all that the examples of docstrings and README speak of."""

from pathlib import Path

import numpy as np
from PIL import Image
from shard_set import write_set
from viewed import TRAINING, drawn_field

import segtrain
import smearsynth
from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC

ROOT = Path(__file__).parents[1]
TINY = ("model.name=compact", "model.width=2", "epochs=1", "images=16", "batch=4", "amp=off")


def furnish(folder: Path) -> None:
    """recipes/, sample_sources/, the set quickstart/, runs/first, field.png; photos/ with masks/, and fields/, the set
    of these; runs/names, which names red cells, and ward/, a set of others. `folder` is the working directory."""
    for name in ("recipes", "sample_sources"):
        (folder / name).symlink_to(ROOT / name)
    smearsynth.build("recipes/quickstart.yaml", workers=2, progress=False)
    segtrain.fit("quickstart", overrides=TINY, run="runs/first", pictures=False)
    red = {"size": (48, 48), "shown": (INFECTED_RBC, HEALTHY_RBC), "cells": True}
    write_set(folder / "discs", train=48, val=8, **red)
    keys = (*TRAINING, "loss.cross_entropy.weights=none", "loss.cells={}")
    segtrain.fit("discs", overrides=keys, run="runs/names", pictures=False)
    write_set(folder / "ward", digest="cd" * 32, test=240, **red)
    Image.fromarray(drawn_field()).save("field.png")
    for kind in ("photos", "masks"):
        Path(kind).mkdir()
    for number, sample in enumerate(smearsynth.open("quickstart")["test"][:10]):
        Image.fromarray(sample.image).save(f"photos/{number}.png")
        Image.fromarray(np.asarray(sample.label)).save(f"masks/{number}.png")
    segtrain.import_annotations("photos", "masks", out="fields", palette="ids", um_per_px=0.2, progress=False)
