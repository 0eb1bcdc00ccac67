"""Metrics against naive ones that follow their definitions pixel by pixel."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segtrain.metrics.boundary import BoundaryScores, nearness, outline
from segtrain.metrics.calibration import CalibrationError
from segtrain.metrics.confusion import Confusion, ReferenceAccuracy, count, count_by_sorting, scores
from smearsynth.base.errors import UserError

CLASSES = 4
Ints = npt.NDArray[np.int64]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def sample(seed: int = 0, images: int = 3, size: int = 8) -> tuple[Tensor, Tensor]:
    """Logits f4 (B, C, H, W), some unsure and some sure, and labels u1 (B, H, W), some of them ignored."""
    random = np.random.default_rng(seed)
    label = random.integers(0, CLASSES, (images, size, size)).astype(np.uint8)
    label[random.random(label.shape) < 0.2] = 255
    logits = random.normal(0, 1.5, (images, CLASSES, size, size))
    return torch.from_numpy(logits).float(), torch.from_numpy(label)


def pixels(logits: Tensor, label: Tensor) -> list[tuple[npt.NDArray[np.float64], int]]:
    """Softmax and label of every pixel that is not ignored."""
    rows = logits.double().softmax(dim=1).movedim(1, -1).reshape(-1, CLASSES).numpy()
    return [(row, true) for row, true in zip(rows, label.flatten().tolist(), strict=True) if true != 255]


class TestConfusion:
    def test_counts_every_known_pixel(self) -> None:
        logits, label = sample()
        expected = np.zeros((CLASSES, CLASSES), np.int64)
        for row, true in pixels(logits, label):
            expected[true, row.argmax()] += 1
        confusion = Confusion(CLASSES)
        confusion.update(logits[:1], label[:1])
        confusion.update(logits[1:], label[1:].long())
        assert confusion.matrix.dtype == torch.int64
        assert confusion.matrix.tolist() == expected.tolist()

    def test_scores_are_those_of_the_sets_of_pixels(self) -> None:
        random = np.random.default_rng(1)
        true, predicted = random.integers(0, CLASSES, (2, 500))
        confusion = Confusion(CLASSES)
        confusion.update_classes(torch.from_numpy(predicted), torch.from_numpy(true))
        report = confusion.report()
        ious = []
        for c, row in enumerate(report["per_class"]):
            a, b = set(np.flatnonzero(true == c)), set(np.flatnonzero(predicted == c))
            ious.append(len(a & b) / len(a | b))
            assert row == pytest.approx(
                {
                    "pixels": len(a),
                    "iou": ious[-1],
                    "dice": 2 * len(a & b) / (len(a) + len(b)),
                    "precision": len(a & b) / len(b),
                    "recall": len(a & b) / len(a),
                }
            )
        cells, found = true > 0, predicted > 0
        assert report["miou"] == pytest.approx(np.mean(ious))
        assert report["pixel_accuracy"] == pytest.approx((true == predicted).mean())
        assert report["foreground_dice"] == pytest.approx(2 * (cells & found).sum() / (cells.sum() + found.sum()))

    def test_an_absent_class_is_nan_and_a_false_one_zero(self) -> None:
        #                          true class 1 is missed once; 2 is found where it is not; 3 is nowhere
        report = scores(torch.tensor([[6, 0, 1, 0], [1, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))
        assert report["per_class"][2]["iou"] == 0
        assert math.isnan(report["per_class"][2]["recall"])
        assert math.isnan(report["per_class"][3]["iou"])
        assert math.isnan(report["per_class"][3]["dice"])
        assert report["miou"] == pytest.approx((6 / 8 + 2 / 3 + 0) / 3)

    def test_of_nothing_everything_is_nan(self) -> None:
        report = Confusion(CLASSES).report()
        assert all(math.isnan(report[key]) for key in ("pixel_accuracy", "miou", "foreground_dice"))

    def test_stays_exact_beyond_what_floats_count(self) -> None:
        many = 2**54
        report = scores(torch.tensor([[many, 0], [1, many]]))
        assert report["per_class"][0]["pixels"] == many
        assert report["per_class"][1]["pixels"] == many + 1

    def test_a_label_of_another_taxonomy_is_refused(self) -> None:
        confusion = Confusion(CLASSES)
        confusion.update_classes(torch.zeros(2, 3), torch.tensor([[0, 4, 254], [1, 255, 3]]))
        with pytest.raises(UserError, match="2 pixels have a label"):
            confusion.report()

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.integers(0, 20) | st.integers(0, 40_000), max_size=200))
    def test_counting_by_sorting_is_counting(self, numbers: list[int]) -> None:
        values = torch.tensor(numbers, dtype=torch.int64)
        found = count_by_sorting(values, 40_001)
        assert found.dtype == torch.int64
        assert torch.equal(found, count(values, 40_001))
        assert {n: c for n, c in enumerate(found.tolist()) if c} == Counter(numbers)


class TestReferenceAccuracy:
    def test_all_foreground_channels_must_agree(self) -> None:
        logits, label = sample(2)
        right = total = 0
        for row, true in pixels(logits, label):
            right += all((row[c] > 0.5) == (true == c) for c in range(1, CLASSES))
            total += 1
        metric = ReferenceAccuracy()
        metric.update(logits[:2], label[:2])
        metric.update(logits[2:], label[2:])
        assert metric.report()["reference_accuracy"] == right / total

    @pytest.mark.parametrize(
        ("probability", "label", "right"),
        [
            ((0.3, 0.4, 0.3), 0, 1.0),  # nothing over a half is background, though class 1 is likeliest
            ((0.3, 0.4, 0.3), 1, 0.0),  # likeliest and right, but unsure
            ((0.3, 0.6, 0.1), 1, 1.0),
            ((0.3, 0.6, 0.1), 2, 0.0),
            ((0.9, 0.1, 0.0), 0, 1.0),
        ],
    )
    def test_what_counts(self, probability: tuple[float, ...], label: int, right: float) -> None:
        metric = ReferenceAccuracy()
        metric.update(torch.tensor(probability).log().reshape(1, 3, 1, 1), torch.tensor([[[label]]]))
        assert metric.report() == {"reference_accuracy": right}

    def test_of_nothing_is_nan(self) -> None:
        assert math.isnan(ReferenceAccuracy().report()["reference_accuracy"])


class TestCalibrationError:
    def test_agrees_with_its_definition(self) -> None:
        logits, label = sample(3)
        bins: list[list[tuple[float, bool]]] = [[] for _ in range(15)]
        for row, true in pixels(logits, label):
            bins[math.ceil(row.max() * 15) - 1].append((row.max(), row.argmax() == true))
        full = [np.array(b, float) for b in bins if b]
        gaps = [len(b) * abs(b[:, 1].mean() - b[:, 0].mean()) for b in full]
        metric = CalibrationError()
        metric.update(logits, label)
        report = metric.report()
        assert report["calibration_error"] == pytest.approx(sum(gaps) / sum(map(len, full)), abs=1e-6)
        assert [b["pixels"] for b in report["calibration"]] == [len(b) for b in bins]

    def test_batches_in_any_order_give_the_same_bits(self) -> None:
        logits, label = sample(4)
        together, apart = CalibrationError(), CalibrationError()
        together.update(logits, label)
        for i in (2, 0, 1):
            apart.update(logits[i : i + 1], label[i : i + 1])
        assert str(apart.report()) == str(together.report())

    def test_certainty_falls_into_the_last_bin(self) -> None:
        metric = CalibrationError()
        metric.update(
            torch.tensor([1000.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 1, 4), torch.tensor([[[0, 0, 0, 1]]])
        )
        report = metric.report()
        assert report["calibration_error"] == 0.25
        assert report["calibration"][14] == {"pixels": 4, "accuracy": 0.75, "confidence": 1.0}


def blobs(seed: int, size: int = 24) -> tuple[Ints, Ints]:
    """Two label maps of a few overlapping rectangles of classes 1 to 3, the second one moved about."""
    random = np.random.default_rng(seed)
    true, predicted = np.zeros((2, size, size), np.int64)
    for _ in range(5):
        y, x, h, w = (*random.integers(0, size - 4, 2), *random.integers(2, 9, 2))
        dy, dx, c = *random.integers(-2, 3, 2), random.integers(1, CLASSES)
        true[y : y + h, x : x + w] = c
        predicted[max(y + dy, 0) : y + dy + h, max(x + dx, 0) : x + dx + w] = c
    ignored = random.random(true.shape) < 0.02
    true[ignored] = predicted[ignored] = 255
    return predicted, true


def naive_outline(label: Ints, c: int) -> list[tuple[int, int]]:
    found = []
    for y, x in np.argwhere(label == c):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [label[p] for p in around if 0 <= p[0] < label.shape[0] and 0 <= p[1] < label.shape[1]]
        if any(other not in (c, 255) for other in inside):
            found.append((int(y), int(x)))
    return found


class TestBoundary:
    @pytest.mark.parametrize("seed", range(4))
    def test_outlines_and_distances_agree_with_all_pairs_of_pixels(self, seed: int) -> None:
        predicted, true = blobs(seed)
        for c in range(CLASSES):
            ours, theirs = naive_outline(predicted, c), naive_outline(true, c)
            assert [tuple(p) for p in np.argwhere(outline(predicted, c))] == ours
            if not (ours and theirs):
                continue
            to_true = [min(math.dist(p, q) for q in theirs) for p in ours]
            to_predicted = [min(math.dist(p, q) for p in ours) for q in theirs]
            assert nearness(predicted, true, c, 1.5) == (
                sum(d <= 1.5 for d in to_true),
                len(ours),
                sum(d <= 1.5 for d in to_predicted),
                len(theirs),
                pytest.approx(max(np.percentile(to_true, 95), np.percentile(to_predicted, 95))),
            )

    def test_pools_the_counts_of_all_images_and_averages_hd95(self) -> None:
        pairs = [blobs(seed) for seed in range(6)]
        metric = BoundaryScores(CLASSES, tolerance=1.0)
        for predicted, true in pairs:
            metric.update_classes(torch.from_numpy(predicted)[None], torch.from_numpy(true)[None])
        for c, row in enumerate(metric.report()["boundaries"]):
            each = [nearness(predicted, true, c, 1.0) for predicted, true in pairs]
            near, found, hit, there = (sum(n[i] for n in each) for i in range(4))
            distances = [n.hd95 for n in each if n.hd95 is not None]
            precision, recall = near / found, hit / there
            assert row == pytest.approx(
                {
                    "boundary_f1": 2 * precision * recall / (precision + recall),
                    "hd95": np.mean(distances),
                    "hd95_images": len(distances),
                    "unmatched_images": sum(n.hd95 is None and n.predicted + n.true > 0 for n in each),
                }
            )

    @pytest.mark.parametrize(("shift", "tolerance", "f1"), [(0, 0.0, 1.0), (1, 1.0, 1.0), (3, 3.0, 1.0), (9, 1.0, 0.0)])
    def test_of_a_moved_square(self, shift: int, tolerance: float, f1: float) -> None:
        true = np.zeros((40, 40), np.int64)
        true[10:16, 10:16] = 1
        predicted = np.roll(true, shift, axis=1)
        metric = BoundaryScores(2, tolerance=tolerance)
        metric.update_classes(torch.from_numpy(predicted)[None], torch.from_numpy(true)[None])
        square = metric.report()["boundaries"][1]
        assert square["boundary_f1"] == pytest.approx(f1)
        assert square["hd95"] == shift

    def test_what_is_missed_is_zero_and_what_is_nowhere_is_nan(self) -> None:
        true = torch.zeros(1, 9, 9, dtype=torch.long)
        true[0, 3:6, 3:6] = 1
        metric = BoundaryScores(3)
        metric.update_classes(torch.zeros_like(true), true)
        _, missed, nowhere = metric.report()["boundaries"]
        assert (missed["boundary_f1"], missed["unmatched_images"]) == (0, 1)
        assert math.isnan(missed["hd95"])
        assert math.isnan(nowhere["boundary_f1"])

    def test_what_is_ignored_changes_nothing(self) -> None:
        predicted, true = blobs(1)
        predicted[:, 20:], true[:, 20:] = 3, 255
        metric, without = BoundaryScores(CLASSES), BoundaryScores(CLASSES)
        metric.update_classes(torch.from_numpy(predicted)[None], torch.from_numpy(true)[None])
        without.update_classes(torch.from_numpy(predicted)[None, :, :20], torch.from_numpy(true)[None, :, :20])
        assert str(metric.report()) == str(without.report())


def of_training(device: str = "cpu") -> tuple[Confusion, ReferenceAccuracy]:
    return Confusion(CLASSES, device), ReferenceAccuracy(device)


def of_one_process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    logits, label = sample(5, images=5)
    shares = (slice(0, 2), slice(2, 5))
    metrics = of_training()
    for metric in metrics:
        metric.update(logits[shares[rank]], label[shares[rank]])
        metric.all_reduce()
    (Path(folder) / f"{rank}.txt").write_text("\n".join(str(metric.report()) for metric in metrics), encoding="utf-8")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_report_what_one_does(tmp_path: Path) -> None:
    mp.spawn(of_one_process, (str(tmp_path),), nprocs=2)
    logits, label = sample(5, images=5)
    alone = of_training()
    for metric in alone:
        metric.update(logits, label)
    first, second = ((tmp_path / f"{rank}.txt").read_text(encoding="utf-8").split("\n") for rank in (0, 1))
    assert first == second == [str(metric.report()) for metric in alone]


@gpu
def test_on_a_gpu_metrics_give_the_same_figures_and_never_wait() -> None:
    logits, label = sample(6, images=4, size=64)
    here = (*of_training(), CalibrationError())
    there = (*of_training("cuda"), CalibrationError("cuda"))
    on_gpu = logits.cuda(), label.cuda()
    torch.use_deterministic_algorithms(True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for metric in there:
            metric.update(*on_gpu)
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.use_deterministic_algorithms(False)
    for cpu, cuda in zip(here, there, strict=True):
        cpu.update(logits, label)
        figures, expected = (
            {key: value for key, value in metric.report().items() if isinstance(value, float)} for metric in (cuda, cpu)
        )
        assert figures == pytest.approx(expected, abs=1e-6)
    assert torch.equal(count(on_gpu[1], 256).cpu(), count(label, 256))
