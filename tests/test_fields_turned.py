"""A mask whose image is turned by EXIF: laid on it only where the sizes tell which way round it belongs."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from image_folders import Pixels, field, save, write_pairs
from PIL import Image

from segtrain.cli import main
from segtrain.data.samples import Shards
from smearsynth.base.errors import UserError
from smearsynth.fields.field_folder import read_fields, turned_apart


def write(root: Path, image: Pixels, mask: Pixels, *, turn: int, of_mask: int = 1) -> tuple[Path, Path]:
    exif, other = Image.Exif(), Image.Exif()
    exif[0x0112], other[0x0112] = turn, of_mask
    return save(root / "img" / "t.png", image, exif=exif), save(root / "mask" / "t_mask.png", mask, exif=other)


@pytest.mark.parametrize(
    ("size", "turn", "of_mask"),
    [((64, 64), 6, 1), ((64, 96), 3, 1), ((64, 96), 1, 3), ((64, 96), 6, 8), ((64, 96), 6, 1)],
)
def test_what_the_sizes_do_not_tell_is_refused(tmp_path: Path, size: tuple[int, int], turn: int, of_mask: int) -> None:
    root = write_pairs(tmp_path, 4, size=size, classes=2)[0].parent
    image, label = field(9, size, 2)
    write(root, image, label * np.uint8(255), turn=turn, of_mask=of_mask)
    told = CliRunner().invoke(main, ["import", f"{root}/img", f"{root}/mask", "--out", f"{root}/set"])
    assert told.exit_code == 2
    assert f"t_mask.png: EXIF turns its image t.png otherwise (orientations {turn} and {of_mask})" in told.stderr
    (root / "mask" / "t_mask.png").rename(root / "mask" / "t.png")
    for other in range(4):
        (root / "img" / f"{other:02d}.png").unlink()
    with pytest.raises(UserError, match="EXIF turns its image"):
        list(read_fields(root))


def test_a_mask_of_the_upright_image_lies_on_it(tmp_path: Path) -> None:
    image, label = field(9, (64, 96), 2)
    stored = np.ascontiguousarray(np.rot90(image))  # orientation 6 turns it back, clockwise
    files = write(tmp_path, stored, label * np.uint8(255), turn=6)
    assert turned_apart(*files) is None
    arguments = ["import", tmp_path / "img", tmp_path / "mask", "--out", tmp_path / "set", "--split", "train=1"]
    told = CliRunner().invoke(main, [*map(str, arguments), "--um-per-px", "0.2"])
    assert told.exit_code == 0, told.output
    of_set = Shards(tmp_path / "set", "train").read(0)
    assert (of_set[0] == image).all()
    assert (of_set[1] == label).all()


def test_both_turned_alike_belong_together(tmp_path: Path) -> None:
    image, label = field(9, (64, 64), 2)
    assert turned_apart(*write(tmp_path, image, label * np.uint8(255), turn=3, of_mask=3)) is None
