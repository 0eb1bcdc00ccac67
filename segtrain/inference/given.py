"""The images that a user names: every one is opened and judged before the first is predicted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segtrain.inference.networks import Networks
from segtrain.inference.picture import open_picture, um_per_px_of
from segtrain.inference.rescale import Rescaled
from segtrain.inference.tiles import tile_count
from smearsynth.errors import UserError
from smearsynth.fields.images import image_files
from smearsynth.fields.scale import RED_CELL_UM, Scale

FOUND_BY_AUTO = f"the scale was found by the median single red cell, taken for {RED_CELL_UM} um"


@dataclass(frozen=True, kw_only=True)
class Given:
    """One image. um_per_px: its own scale. shape: (h, w) at that of the networks. tiles: that it takes."""

    path: Path
    um_per_px: float
    shape: tuple[int, int]
    tiles: int


def image_paths(images: Sequence[str | Path]) -> list[Path]:
    """The files that are named, and those in the folders that are. UserError where there are none."""
    paths = [Path(image) for image in images]
    found = [file for path in paths for file in (image_files(path) if path.is_dir() else [path])]
    if not found:
        raise UserError(f"{paths[0] if paths else 'IMAGE'}: there is no image; name image files, or a folder of them.")
    return found


def survey(paths: Sequence[Path], scale: Scale, networks: Networks, bar: "tqdm[Any]") -> Iterator[Given]:
    """Each image with its scale. bar: hears of every one. Raises UserError: one cannot be read, or shows no scale."""
    for path in paths:
        yield _survey(path, scale, networks)
        bar.update()


def _survey(path: Path, scale: Scale, networks: Networks) -> Given:
    picture = open_picture(path)
    um_per_px = um_per_px_of(scale, path, picture)
    shape = Rescaled(picture, um_per_px / networks.um_per_px).shape
    return Given(path=path, um_per_px=um_per_px, shape=shape, tiles=tile_count(shape))
