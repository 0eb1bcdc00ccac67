"""The images that a user names: every one is opened and judged before the first is predicted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segtrain.inference.networks import Networks
from segtrain.inference.picture import open_picture, um_per_px_of
from segtrain.inference.rescale import Rescaled
from segtrain.inference.tiles import tile_count
from smearsynth.errors import UserError
from smearsynth.fields.images import image_files
from smearsynth.fields.scale import Scale


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


def survey(path: Path, scale: Scale, networks: Networks) -> Given:
    """An image with its scale. Raises UserError: it cannot be read, or shows none."""
    picture = open_picture(path)
    um_per_px = um_per_px_of(scale, path, picture)
    shape = Rescaled(picture, um_per_px / networks.um_per_px).shape
    return Given(path=path, um_per_px=um_per_px, shape=shape, tiles=tile_count(shape))
