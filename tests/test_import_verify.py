"""What smearsynth says to a set that segtrain imported."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from image_folders import write_pairs
from PIL import Image

from segtrain.importing.import_annotations import import_annotations
from smearsynth.base.errors import UserError
from smearsynth.cli import main
from smearsynth.taxonomy import CLASSES
from smearsynth.verbs.diff import diff
from smearsynth.verbs.export import export
from smearsynth.verbs.preview import preview
from smearsynth.verbs.replay import replay
from smearsynth.verbs.stats import report, stats
from smearsynth.verbs.verify import verify


@pytest.fixture(scope="module")
def ten_and_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A set of the ten classes, and one of background and cell."""
    root = tmp_path_factory.mktemp("imported")
    for name, classes, palette in (("ten", 10, "reference"), ("two", 2, "binary")):
        images, masks = write_pairs(root / name, 4, classes=classes)
        import_annotations(images, masks, out=root / name / "set", palette=palette, um_per_px=0.2, progress=False)
    return root / "ten" / "set", root / "two" / "set"


def test_it_is_refused_where_only_a_built_set_has_what_is_needed(ten_and_two: tuple[Path, Path]) -> None:
    ten, two = ten_and_two
    for refused in (
        lambda: verify(ten),
        lambda: replay(ten, "train-00000000"),
        lambda: diff(ten, two),
        lambda: report(ten),
    ):
        with pytest.raises(UserError, match=r"set/index\.json: segtrain imported this set"):
            refused()


def test_a_sheet_shows_labels_in_the_colours_of_the_set(ten_and_two: tuple[Path, Path], tmp_path: Path) -> None:
    for root in ten_and_two:
        with h5py.File(root / "train-00000.h5") as shard:
            image, label = shard["image"][0], shard["label"][0]
            colours = [tuple(bytes.fromhex(colour[1:])) for colour in shard.attrs["class_colours"]]
        sheet = np.asarray(Image.open(preview(root, out=tmp_path / "sheet.png")))
        height, width = label.shape
        table = np.array([*colours, *[(255, 255, 255)] * (256 - len(colours))], np.uint8)
        np.testing.assert_array_equal(sheet[8 : 8 + height, 8 : 8 + width], image)
        np.testing.assert_array_equal(sheet[8 : 8 + height, 10 + width : 10 + 2 * width], table[label])
        assert set(map(tuple, sheet[-30:].reshape(-1, 3).tolist())) >= set(colours[-5:])  # the legend


@pytest.mark.parametrize("which", [0, 1])
def test_stats_count_what_there_is_and_say_what_is_not(
    ten_and_two: tuple[Path, Path], tmp_path: Path, which: int
) -> None:
    root, keys = ten_and_two[which], ([c.key for c in CLASSES], ["background", "cell"])[which]
    found = stats(root, progress=False)
    assert (found.name, found.samples, list(found.classes)) == ("set", 4, keys)
    assert found.sizes == {"96x72": 4}
    for split, told in found.splits.items():
        labels = np.zeros(0, np.uint8)
        for path in root.glob(f"{split}-*.h5"):
            with h5py.File(path) as shard:
                labels = np.append(labels, shard["label"][:])
        assert told["pixels"] == {key: (labels == number).sum() for number, key in enumerate(keys)}
        assert (told["ignored"], told["samples"]) == ((labels == 255).sum(), labels.size / (72 * 96))
    result = CliRunner().invoke(main, ["stats", str(root)])
    assert result.exit_code == 0
    train = found.splits["train"]
    share = train["pixels"]["background"] / (sum(train["pixels"].values()) + train["ignored"])
    assert re.search(rf"^background +{share:.2%} ", result.stdout, re.MULTILINE)
    assert "not known: objects, combinations, sizes of cells, sources and refusals" in result.stdout
    shutil.copytree(root, tmp_path / "set")
    index = json.loads((tmp_path / "set/index.json").read_text())
    index["splits"]["train"]["pixels"]["background"] += 1
    (tmp_path / "set/index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"index\.json does not say what the shards of train hold"):
        stats(tmp_path / "set", progress=False)


def test_it_can_be_exported(ten_and_two: tuple[Path, Path], tmp_path: Path) -> None:
    for number, root in enumerate(ten_and_two):
        out = tmp_path / str(number)
        export(root, format="png", out=out, workers=1, progress=False)
        assert (out / "README.md").read_text().startswith("# set\n")
        with h5py.File(root / "train-00000.h5") as shard:
            name, label = shard["sample_id"].asstr()[0], shard["label"][0]
        assert any(np.array_equal(np.asarray(Image.open(path)), label) for path in out.rglob(f"*{name}*.png"))
