"""Slides of scanners, by OpenSlide, and a region of an image as an image of its own.

OpenSlide knows the files of Aperio, Hamamatsu, Leica, MIRAX and others; TIFF pyramids (BigTIFF, OME-TIFF) need no
extra, see `image_reader`. A slide holds itself in several levels, each smaller than the one before. Whoever needs it
smaller reads the level that is just large enough, and decodes a fraction of the pixels.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from smearsynth.base.errors import ImageError, UserError, first_line
from smearsynth.base.images import Pixels, size_text

if TYPE_CHECKING:
    from segtrain.inference.image_reader import ImageReader

SLIDE_SUFFIXES = frozenset({".bif", ".mrxs", ".ndpi", ".scn", ".svs", ".svslide", ".vms", ".vmu"})
_CACHE = 128 << 20
"""Bytes of decoded tiles that are kept, of all slides together: a row of tiles of a wide one."""
_SQUARE = 0.01
"""Difference of a pixel's sides up to which it has one scale."""
_COARSER = 0.98
"""Share of the pixels a side that are asked for, which a level must have."""

Region = tuple[int, int, int, int]
"""x, y, width and height, px of the full image."""


class SlideReader:
    """A slide of a scanner, at one of its levels. A place that was not scanned is white."""

    def __init__(self, path: Path, level: int = 0, slide: Any = None) -> None:
        """slide: the file, where it is open. UserError where OpenSlide is not installed or does not know the file."""
        self._slide = _opened(path) if slide is None else slide
        self.name, self._path, self._level = str(path), path, level
        width, height = self._slide.level_dimensions[level]
        self.shape: tuple[int, int] = (height, width)
        across, down = (self._slide.properties.get(f"openslide.mpp-{axis}") for axis in "xy")
        square = across and down and abs(float(across) - float(down)) <= _SQUARE * float(across)
        self.um_per_px = float(across) if square and level == 0 else None

    def rows(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Pixels:
        """See `ImageReader`."""
        right = self.shape[1] if right is None else right
        corner = [round(at * self._slide.level_downsamples[self._level]) for at in (left, top)]
        try:
            found = self._slide.read_region(corner, self._level, (right - left, bottom - top))
        # Whatever OpenSlide or the decoder behind it says of a damaged file.
        except Exception as error:
            raise ImageError(
                "unreadable",
                f"{self.name}: rows {top} to {bottom} cannot be read ({first_line(error)}); replace the file",
            ) from None
        white = Image.new("RGB", found.size, "white")
        white.paste(found, mask=found.getchannel("A"))
        return np.asarray(white)

    def coarser(self, factor: float) -> "SlideReader":
        """See `ImageReader`."""
        level = self._level + level_of([width for width, _ in self._slide.level_dimensions[self._level :]], factor)
        return self if level == self._level else SlideReader(self._path, level, self._slide)

    def close(self) -> None:
        """See `ImageReader`; only some tiles are kept, of all slides together."""


class ImageRegion:
    """A rectangle of an image. corner: x, y of its first pixel there."""

    def __init__(self, image: "ImageReader", region: Region) -> None:
        _, _, width, height = region
        self._image, self._region = image, region
        self.name, self.um_per_px = image.name, image.um_per_px
        self.shape: tuple[int, int] = (height, width)
        self.corner = region[:2]

    def rows(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Pixels:
        """See `ImageReader`."""
        x, y, width, _ = self._region
        return self._image.rows(y + top, y + bottom, x + left, x + (width if right is None else right))

    def coarser(self, factor: float) -> "ImageReader":
        """See `ImageReader`. A level whose pixels do not end where the region ends is not taken."""
        smaller = self._image.coarser(factor)
        step = round(self._image.shape[1] / smaller.shape[1])
        exact = all(
            -(-full // step) - part in (0, 1) for full, part in zip(self._image.shape, smaller.shape, strict=True)
        )
        if step == 1 or not exact or any(value % step for value in self._region):
            return self
        x, y, width, height = (value // step for value in self._region)
        return ImageRegion(smaller, (x, y, width, height))

    def close(self) -> None:
        """See `ImageReader`."""
        self._image.close()


def region_of(image: "ImageReader", region: str | Sequence[int]) -> ImageRegion:
    """A part of an image. region: x, y, width, height, px of the full image; as text with commas. UserError where it is
    none, or does not lie in the image."""
    try:
        x, y, width, height = (int(value) for value in (region.split(",") if isinstance(region, str) else region))
    except ValueError:
        raise UserError(
            f"{region} is no region: give x,y,width,height in whole pixels of the full image", "region"
        ) from None
    tall, wide = image.shape
    if not (0 <= x < x + width <= wide and 0 <= y < y + height <= tall):
        raise UserError(
            f"{image.name}: the region {x},{y},{width},{height} does not lie in its {size_text(image.shape)} px; give "
            "x,y,width,height in pixels of the full image",
            "region",
        )
    return ImageRegion(image, (x, y, width, height))


def level_of(widths: Sequence[int], factor: float) -> int:
    """Number of the smallest level that is still as wide as the image is at `factor`. widths: px, the image's first."""
    return max(n for n, width in enumerate(widths) if n == 0 or width >= _COARSER * factor * widths[0])


def _opened(path: Path) -> Any:
    try:
        import openslide
    except ImportError:
        raise ImageError(
            "pixel_type", f"{path}: slides of scanners need the extra `slides`: pip install 'smearsynth[slides]'"
        ) from None
    try:
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise ImageError(
            "unreadable",
            f"{path}: OpenSlide cannot read it ({first_line(error)}); replace the file, or save it as a tiled TIFF",
        ) from None
    slide.set_cache(_tile_cache())
    return slide


@cache
def _tile_cache() -> Any:
    import openslide

    return openslide.OpenSlideCache(_CACHE)
