"""The threshold of two classes: against every threshold tried one by one, and from a config to a figure."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shard_set import write_set
from torch import Tensor

from segtrain.evaluation.baseline import STEPS, best_threshold, with_threshold
from segtrain.evaluation.evaluate import evaluate
from segtrain.evaluation.figures import table
from segtrain.experiments.fit import fit
from segtrain.importing.import_annotations import import_annotations
from smearsynth.base.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


def logits_of(probability: Tensor) -> Tensor:
    """fp32 (B, 2, H, W)."""
    return torch.stack([torch.zeros_like(probability), torch.logit(probability)], dim=1).float()


def f_score(probability: Tensor, label: Tensor, threshold: float) -> float:
    values = zip(probability.flatten().tolist(), label.flatten().tolist(), strict=True)
    pairs = [(p >= threshold, t) for p, t in values if t != 255]
    right = sum(found and true for found, true in pairs)
    both = sum(found for found, _ in pairs) + sum(true for _, true in pairs)
    return 2 * right / both if both else math.nan


@given(st.lists(st.tuples(st.integers(0, STEPS - 1), st.sampled_from([0, 1, 1, 255])), min_size=1, max_size=40))
def test_no_other_threshold_has_a_higher_f_score(pixels: list[tuple[int, int]]) -> None:
    probability = torch.tensor([(step + 0.5) / STEPS for step, _ in pixels]).reshape(1, 1, -1)
    label = torch.tensor([truth for _, truth in pixels], dtype=torch.uint8).reshape(1, 1, -1)
    found = best_threshold([(logits_of(probability), label, label)])
    tried = {k / STEPS: f_score(probability, label, k / STEPS) for k in range(1, STEPS)}
    best = max((score for score in tried.values() if not math.isnan(score)), default=0.0)
    equal = [t for t, score in tried.items() if score == pytest.approx(best) or (math.isnan(score) and best == 0)]
    assert found in equal
    assert abs(found - 0.5) == pytest.approx(min(abs(t - 0.5) for t in equal))


def test_batches_are_pooled() -> None:
    first = (logits_of(torch.full((1, 2, 2), 0.3)), torch.ones(1, 2, 2, dtype=torch.uint8), torch.zeros(1))
    second = (logits_of(torch.full((1, 2, 2), 0.2)), torch.zeros(1, 2, 2, dtype=torch.uint8), torch.zeros(1))
    assert 0.2 < best_threshold([first, second]) <= 0.3


def test_moved_logits_are_over_one_half_from_the_threshold_on() -> None:
    probability = torch.linspace(0.01, 0.99, 99).reshape(1, 1, 99)
    found = with_threshold(lambda _: logits_of(probability), 0.205)(torch.zeros(1))
    assert torch.equal(found.argmax(dim=1), (probability > 0.205).long())


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Discs on noise, a dataset of two classes."""
    root = tmp_path_factory.mktemp("cells")
    rng = np.random.default_rng(0)
    for kind in ("img", "mask"):
        (root / kind).mkdir()
    for i in range(20):
        mask = np.zeros((64, 64), np.uint8)
        cv2.circle(mask, tuple(int(v) for v in rng.integers(12, 52, 2)), int(rng.integers(6, 12)), 255, -1)
        image = np.where(mask[..., None] > 0, 150, 200) + rng.normal(0, 40, (64, 64, 3))
        cv2.imwrite(str(root / "img" / f"{i}.png"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(root / "mask" / f"{i}.png"), mask)
    return import_annotations(
        root / "img", root / "mask", out=root / "set", cells="white", um_per_px=0.2, split="train=.6,val=.2,test=.2"
    ).out


@pytest.fixture(scope="module")
def run(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    overrides = [
        "model={name: unet_half, width: 2, norm: batch, grey: true, sigmoid: true}",
        "loss={cross_entropy: {weights: inverse}}",
        "optimiser.lr=1e-2",
        "epochs=4",
        "batch=4",
        "amp=off",
    ]
    return fit(cells, overrides=overrides, run=tmp_path_factory.mktemp("runs") / "run", pictures=False).run


@pytest.mark.slow
def test_one_chosen_on_validation_is_in_the_figures_and_the_best_there(run: Path, cells: Path) -> None:
    chosen = evaluate(run, cells, split="val", threshold="val")
    assert 0 < chosen["threshold"] < 1
    others = [evaluate(run, cells, split="val", threshold=t)["foreground_dice"] for t in (0.3, 0.5, 0.7)]
    assert chosen["foreground_dice"] >= max(others) - 1e-9
    assert evaluate(run, cells, split="val", threshold=0.5) == evaluate(run, cells, split="val") | {"threshold": 0.5}
    assert any(line.startswith("threshold ") for line in table(chosen).splitlines())
    json.dumps(chosen, allow_nan=False)


@pytest.mark.parametrize("asked", ["0", "1", "-3", "nan", "test"])
def test_what_is_no_threshold_is_refused(run: Path, cells: Path, asked: str) -> None:
    with pytest.raises(UserError, match=rf"must be between 0 and 1, or `val` .*, not {asked} \(threshold\)"):
        evaluate(run, cells, threshold=asked)


def test_ten_classes_and_folders_have_none(run: Path, cells: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a folder of images.*\(threshold\)"):
        evaluate(run, cells.parent, threshold="val")
    ten = write_set(tmp_path / "ten", size=(16, 16), train=4, val=2, test=2)
    of_ten = fit(ten, overrides=["model.width=1", "epochs=1", "batch=4"], run=tmp_path / "run", pictures=False).run
    with pytest.raises(UserError, match=r"only two classes .* has 10: .*\(threshold\)"):
        evaluate(of_ten, ten, threshold="val")


def test_one_output_for_ten_classes_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    ten = write_set(tmp_path / "ten", size=(16, 16), train=4, val=2)
    with pytest.raises(UserError, match=r"model\.sigmoid: tells two classes apart, and the data has 10"):
        fit(ten, overrides=["model.width=1", "model.sigmoid=true"], run=tmp_path / "run")
    assert not (tmp_path / "run").exists()
