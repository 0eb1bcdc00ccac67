"""What smearsynth says to a set that segtrain imported."""

from pathlib import Path

import pytest
from image_folders import write_pairs

from segtrain.import_pairs import import_pairs
from smearsynth.dataset.sheet import read_panels
from smearsynth.errors import UserError
from smearsynth.verbs.diff import diff
from smearsynth.verbs.replay import replay
from smearsynth.verbs.verify import verify


@pytest.fixture(scope="module")
def ten_and_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A set of the ten classes, and one of background and cell."""
    root = tmp_path_factory.mktemp("imported")
    for name, classes, palette in (("ten", 10, "reference"), ("two", 2, "binary")):
        images, masks = write_pairs(root / name, 4, classes=classes)
        import_pairs(images, masks, out=root / name / "set", palette=palette, um_per_px=0.2, progress=False)
    return root / "ten" / "set", root / "two" / "set"


def test_it_is_refused_where_only_a_built_set_has_what_is_needed(ten_and_two: tuple[Path, Path]) -> None:
    ten, two = ten_and_two
    for refused in (lambda: verify(ten), lambda: replay(ten, "train-00000000"), lambda: diff(ten, two)):
        with pytest.raises(UserError, match="segtrain imported this set"):
            refused()


def test_a_sheet_shows_the_ten_classes_and_no_others(ten_and_two: tuple[Path, Path]) -> None:
    ten, two = ten_and_two
    assert len(read_panels(ten)) > 0
    with pytest.raises(UserError, match="has the classes background, cell"):
        read_panels(two)
