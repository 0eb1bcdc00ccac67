"""Found cells against true ones, by hand and against a naive version."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_folders import write_pairs
from small_set import prepare, small_build
from synthetic_bank import synthetic_bank

from segtrain.data.samples import Shards
from segtrain.evaluation.evaluate import evaluate
from segtrain.evaluation.set_evaluation import CellCounts
from segtrain.experiments.fit import fit
from segtrain.importing.import_annotations import import_annotations
from segtrain.metrics.object_scores import ObjectScores, matches
from smearsynth.bank import bank_file
from smearsynth.base.errors import UserError

Map = npt.NDArray[np.int64]
KEYS = ("background", "a", "b")


def naive_matches(found: Map, true: Map) -> list[tuple[int, int, float]]:
    pairs = []
    for i in set(found.ravel().tolist()) - {0}:
        for j in set(true.ravel().tolist()) - {0}:
            iou = ((found == i) & (true == j)).sum() / ((found == i) | (true == j)).sum()
            if iou > 0.5:
                pairs.append((i, j, float(iou)))
    return sorted(pairs)


def regions(rng: np.random.Generator, count: int) -> Map:
    """Rectangles over one another, numbered as they are seen."""
    drawn = np.zeros((20, 24), np.int64)
    for i in range(1, count + 1):
        y, x = rng.integers(0, 16, 2)
        drawn[y : y + rng.integers(2, 9), x : x + rng.integers(2, 9)] = i
    return np.unique(drawn, return_inverse=True)[1].reshape(drawn.shape)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(0, 6))
def test_matches_and_scores_are_those_of_a_naive_version(seed: int, found_count: int, true_count: int) -> None:
    rng = np.random.default_rng(seed)
    true = regions(rng, true_count)
    found = np.where(rng.random(true.shape) < 0.1, 0, true) if seed % 2 else regions(rng, found_count)
    found = np.unique(np.append(found, 0), return_inverse=True)[1][:-1].reshape(found.shape)
    classes, kinds = (rng.integers(1, 3, drawn.max()) for drawn in (found, true))
    expected = naive_matches(found, true)
    got = list(zip(*(part.tolist() for part in matches(found, true)), strict=True))
    assert sorted(got) == [(i, j, pytest.approx(iou)) for i, j, iou in expected]

    scores = ObjectScores(KEYS)
    scores.update(found, classes, true, kinds)
    report = scores.report()
    for c, key in enumerate(KEYS[1:], 1):
        right = [iou for i, j, iou in expected if classes[i - 1] == kinds[j - 1] == c]
        both = (classes == c).sum() + (kinds == c).sum()
        row = report["per_class"][key]
        assert row["f1"] == pytest.approx(2 * len(right) / both if both else math.nan, nan_ok=True)
        assert row["pq"] == pytest.approx(2 * sum(right) / both if both else math.nan, nan_ok=True)
        assert row["count_error"] == abs((classes == c).sum() - (kinds == c).sum())


def test_scores_are_pooled_and_counts_are_compared_image_by_image() -> None:
    scores = ObjectScores(KEYS)
    one = np.array([[1, 1, 1, 0, 2, 2]])
    scores.update(one, np.array([1, 2]), one, np.array([1, 1]))
    shifted = np.array([[0, 1, 1, 1, 0, 0]])
    scores.update(shifted, np.array([1]), np.array([[1, 1, 1, 0, 2, 2]]), np.array([1, 1]))
    report = scores.report()
    # Of a: true 4; found the first of each image, one of which has an IoU of just 1/2, which is no match.
    row = report["per_class"]["a"]
    assert (row["true"], row["found"], row["f1"], row["pq"]) == (4, 2, 2 / 6, 2 / 6)
    assert (row["count_error"], row["count_bias"]) == (1, -1)
    assert report["per_class"]["b"]["f1"] == 0
    # Whatever class it is taken for, the second cell of the first image was found.
    assert (report["true"], report["found"], report["f1"]) == (4, 3, 4 / 7)
    assert report["count_error"] == 0.5


def test_a_score_of_nothing_is_nan() -> None:
    scores = ObjectScores(KEYS)
    nothing = np.zeros((4, 4), np.int64)
    scores.update(nothing, np.zeros(0, np.int64), nothing, np.zeros(0, np.int64))
    assert math.isnan(scores.report()["f1"])
    assert scores.report()["count_error"] == 0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smears of cells that have the size of the taxonomy's."""
    folder = tmp_path_factory.mktemp("sets")
    prepare(folder)
    bank_file.save_bank(synthetic_bank(per_class=2), folder / "bank.h5")
    return small_build(folder, folder / "set", "size=224", "count.train=4", "count.val=2", "count.test=12").out


def test_exact_labels_give_nearly_all_cells_back(built: Path) -> None:
    shards = Shards(built, "test")
    counted = CellCounts(shards)
    for i in range(len(shards)):
        label = torch.from_numpy(shards.read(i)[1].astype(np.int64))
        logits = torch.nn.functional.one_hot(label, 10).permute(2, 0, 1)[None].float() * 50
        counted.update(logits, torch.tensor([i]))
    figures = counted.figures()
    assert figures["true"] > 20
    assert figures["f1"] > 0.9
    assert sum(row["true"] for row in figures["per_class"].values()) == figures["true"]
    for key in ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil"):
        assert figures["per_class"][key]["f1"] in (1, None)


@pytest.mark.slow
def test_evaluate_counts_cells_by_choice(tmp_path: Path, built: Path) -> None:
    tiny = ("model.width=2", "epochs=1", "batch=4", "amp=off")
    run = fit(built, overrides=tiny, run=tmp_path / "run", pictures=False).run
    figures = evaluate(run, built, objects=True)
    assert figures["objects"].keys() >= {"f1", "pq", "count_error", "per_class"}
    assert "objects" not in evaluate(run, built)
    (tmp_path / "img").mkdir()
    (tmp_path / "mask").mkdir()
    with pytest.raises(UserError, match=r"\(objects\)"):
        evaluate(run, tmp_path, objects=True, um_per_px=0.2)


def test_a_set_that_does_not_know_its_cells_is_refused(tmp_path: Path) -> None:
    images, masks = write_pairs(tmp_path, 3)
    made = import_annotations(images, masks, out=tmp_path / "set", palette="reference", um_per_px=0.2, split="test=1")
    with pytest.raises(UserError, match="which pixels are of one cell"):
        CellCounts(Shards(made.out, "test"))
