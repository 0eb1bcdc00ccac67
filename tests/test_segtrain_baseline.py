"""What needs no network, beside a second way of counting it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from shard_set import write_set
from skimage.filters import threshold_otsu

from segtrain.data.samples import Shards
from segtrain.evaluation.baseline import baseline
from segtrain.evaluation.figures import table
from smearsynth.base.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "tiny", size=(48, 48), train=9, test=5)


def read(shards: Shards) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*(shards.read(i) for i in range(len(shards))), strict=True)
    return np.stack(images), np.stack(labels)


def test_majority_says_the_most_frequent_class_of_training_everywhere(data: Path) -> None:
    _, labels = read(Shards(data, "test"))
    figures = baseline(data)["majority"]
    glass = (labels == 0).mean()
    assert figures["pixel_accuracy"] == pytest.approx(glass)
    assert figures["per_class"]["background"]["iou"] == pytest.approx(glass)
    assert figures["foreground_dice"] == 0
    present = len(np.unique(labels))
    assert figures["miou"] == pytest.approx(glass / present)


def test_otsu_gives_its_cells_the_most_frequent_class_of_cells(data: Path) -> None:
    images, labels = read(Shards(data, "test"))
    _, seen = read(Shards(data, "train"))
    frequent = 1 + np.bincount(seen.ravel(), minlength=10)[1:].argmax()
    grey = np.rint(images @ [0.299, 0.587, 0.114]).astype(np.uint8)
    found = np.stack([ndimage.binary_fill_holes(g <= threshold_otsu(g)) for g in grey])
    figures = baseline(data)["otsu"]
    assert figures["pixel_accuracy"] == pytest.approx((np.where(found, frequent, 0) == labels).mean(), abs=2e-3)
    dice = 2 * (found & (labels > 0)).sum() / (found.sum() + (labels > 0).sum())
    assert figures["foreground_dice"] == pytest.approx(dice, abs=2e-3)
    assert sum(row["dice"] != 0 for row in figures["per_class"].values() if row["dice"] is not None) == 2


@pytest.mark.parametrize(("rows", "dice"), [(12, 0.0), (28, 2 * 28 / 68)])
def test_a_folder_has_glass_or_cell_for_majority(tmp_path: Path, rows: int, dice: float) -> None:
    image = np.full((40, 30, 3), 230, np.uint8)
    image[:rows] = 90
    for kind, pixels in (("img", image), ("mask", (image[..., 0] < 200).astype(np.uint8) * 255)):
        (tmp_path / kind).mkdir()
        Image.fromarray(pixels).save(tmp_path / kind / "a.png")
    figures = baseline(tmp_path)
    assert figures["otsu"]["foreground_dice"] == 1
    assert figures["majority"]["foreground_dice"] == pytest.approx(dice)


def test_all_tables_have_the_same_lines(data: Path) -> None:
    tables = [[line.split()[0] for line in table(figures).splitlines() if line] for figures in baseline(data).values()]
    assert tables[0] == tables[1]
    assert {"healthy_rbc", "mIoU"} <= set(tables[0])


def test_what_is_no_dataset_and_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished dataset"):
        baseline(tmp_path)
