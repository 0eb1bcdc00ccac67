"""A folder with all that the examples of docstrings and README speak of."""

from pathlib import Path

import numpy as np
from PIL import Image
from viewed import drawn_field

import segtrain
import smearsynth

ROOT = Path(__file__).parents[1]
TINY = ("model.name=compact", "model.width=2", "epochs=1", "images=16", "batch=4", "amp=off")


def furnish(folder: Path) -> None:
    """recipes/, sample_sources/, the set quickstart/ and ward/, of other smears; runs/first and runs/names, which tells
    infected cells a little; a field, photos/ with masks/, and fields/, the set of these. `folder` is the working
    directory."""
    for name in ("recipes", "sample_sources"):
        (folder / name).symlink_to(ROOT / name)
    smearsynth.build("recipes/quickstart.yaml", workers=2, progress=False)
    segtrain.fit("quickstart", overrides=TINY, run="runs/first", pictures=False)
    others = ["seed=1", "count={train: 0, val: 0, test: 150}"]
    cells = "quickstart/cells.h5"
    smearsynth.build("recipes/quickstart.yaml", out="ward", bank=cells, overrides=others, workers=2, progress=False)
    named = ("loss.cells={}", "model.width=4", "model.norm=batch", "images=200", "optimiser.lr=0.01")
    segtrain.fit("quickstart", overrides=(*TINY, *named), run="runs/names", pictures=False)
    Image.fromarray(drawn_field()).save("field.png")
    for kind in ("photos", "masks"):
        Path(kind).mkdir()
    for number, sample in enumerate(smearsynth.open("quickstart")["test"][:10]):
        Image.fromarray(sample.image).save(f"photos/{number}.png")
        Image.fromarray(np.asarray(sample.label)).save(f"masks/{number}.png")
    segtrain.import_annotations("photos", "masks", out="fields", palette="ids", um_per_px=0.2, progress=False)
