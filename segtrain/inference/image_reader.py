"""TIFF files larger than the memory: only the strips or tiles that hold the rows asked for are decoded.

Smaller ones are left to the reader of all images, which knows more of the format's corners.

Opened images, read by rows, so that one larger than the memory is read as one that is not.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from smearsynth.base.errors import first_line
from smearsynth.base.images import MAX_PIXELS, ImageFault, Pixels, size_text
from smearsynth.fields.field_folder import read_image
from smearsynth.fields.scale import AUTO, Scale

SUFFIXES = frozenset({".tif", ".tiff"})
_MOST_BYTES = 1 << 28
"""Of one strip or tile, decoded."""
_MOST_SIDE = 1_000_000
_GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
_PLAIN = (COMPRESSION.NONE, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE, COMPRESSION.PACKBITS)
"""Compressions that tifffile reads by itself."""
_STRAIGHT_ALPHA = 2
"""ExtraSamples of a transparency by which the colours were not multiplied."""


def is_large_tiff(path: Path) -> bool:
    """Whether a file is a TIFF of more pixels than are read at once. False where it cannot be read at all."""
    if path.suffix.lower() not in SUFFIXES:
        return False
    try:
        with TiffFile(path) as file:
            page = _first(file)
            return page.imagewidth * page.imagelength > MAX_PIXELS
    # A damaged file makes tifffile fail in many ways, and the reader of all images has a sentence for it.
    except Exception:
        return False


class LargeTiff:
    """A `Picture` out of the first page of a file, in strips or in tiles, compressed or not."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where it cannot be read in parts, or its pixels are of another kind than 8 or 16 bits of
        grey or RGB, with or without transparency."""
        self._path, self.name = path, str(path)
        with TiffFile(path) as file:
            page = _first(file)
            self.shape = (int(page.imagelength), int(page.imagewidth))
            self._judge(page)

    def rows(self, top: int, bottom: int) -> Pixels:
        """As `Picture` says. UserError where the file is damaged there."""
        try:
            with TiffFile(self._path) as file:
                page = _first(file)
                decode = _stored if page.is_final else _decoded
                return _to_rgb(decode(file, page, top, bottom), page)
        # What a damaged file makes of a decoder is as manifold here.
        except Exception as error:
            cause = first_line(error)
            raise ImageFault(
                "unreadable", f"{self.name}: rows {top} to {bottom} cannot be read ({cause}); replace the file"
            ) from None

    def _judge(self, page: TiffPage) -> None:
        def refuse(reason: str, sentence: str) -> None:
            raise ImageFault(reason, f"{self.name}: {sentence}")

        alpha = page.samplesperpixel in (2, 4)
        colours = page.samplesperpixel - alpha
        # What decodes JPEG makes RGB of it; of others, YCbCr would be taken for that.
        coloured = page.photometric == PHOTOMETRIC.RGB or (
            page.photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.JPEG
        )
        known = (colours == 1 and page.photometric in _GREY) or (colours == 3 and coloured)
        whole = page.dtype in (np.uint8, np.uint16) and page.bitspersample == 8 * _dtype(page).itemsize
        if not known or not whole or (alpha and page.extrasamples != (_STRAIGHT_ALPHA,)):
            refuse(
                "pixel_type", f"a TIFF over {MAX_PIXELS // 1_000_000} megapixels must be grey or RGB of 8 or 16 bits"
            )
        if page.planarconfig != 1 and colours > 1:
            refuse("pixel_type", "its colours lie apart; save it with the channels of a pixel together")
        if "Orientation" in page.tags and page.tags["Orientation"].value != 1:
            refuse("pixel_type", "a TIFF that large must be stored upright; save it again without an orientation")
        if max(self.shape) > _MOST_SIDE:
            refuse("too_large", f"{size_text(self.shape)} px are more than a microscope gives; cut it into fields")
        tall, wide = _part(page)
        if not page.is_final and tall * wide * page.samplesperpixel * _dtype(page).itemsize > _MOST_BYTES:
            refuse("too_large", f"its parts of {wide}x{tall} px are too large to be read apart; save it in tiles")
        if page.compression not in _PLAIN and not _codecs():
            refuse("pixel_type", "its compression needs the extra `tiff`: pip install 'smearsynth[tiff]'")


def _first(file: TiffFile) -> TiffPage:
    page = file.pages[0]
    assert isinstance(page, TiffPage)
    return page


def _dtype(page: TiffPage) -> np.dtype[Any]:
    assert page.dtype is not None
    return page.dtype


def _codecs() -> bool:
    """Whether the decoders of all compressions are installed."""
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def _part(page: TiffPage) -> tuple[int, int]:
    """Height and width of a strip or tile."""
    if page.is_tiled:
        return int(page.tilelength), int(page.tilewidth)
    return int(page.rowsperstrip), int(page.imagewidth)


def _stored(file: TiffFile, page: TiffPage, top: int, bottom: int) -> npt.NDArray[Any]:
    """(bottom - top, w, samples) of a file that holds its rows one after another as they are."""
    width, samples = page.imagewidth, page.samplesperpixel
    dtype = _dtype(page).newbyteorder(file.byteorder)
    file.filehandle.seek(page.dataoffsets[0] + top * width * samples * dtype.itemsize)
    count = (bottom - top) * width * samples
    data = file.filehandle.read(count * dtype.itemsize)
    return np.frombuffer(data, dtype, count).reshape(bottom - top, width, samples)


def _decoded(file: TiffFile, page: TiffPage, top: int, bottom: int) -> npt.NDArray[Any]:
    """The same of strips and tiles; one that the file leaves out is 0."""
    (tall, wide), width = _part(page), int(page.imagewidth)
    across = -(-width // wide)
    found = np.zeros((bottom - top, width, page.samplesperpixel), _dtype(page))
    # Both may read in the file, and must have done so before it stands where a part begins.
    decode, jpegtables = page.decode, page.jpegtables
    for number in range(top // tall * across, -(-bottom // tall) * across):
        size = page.databytecounts[number]
        if not size:
            continue
        if size > _MOST_BYTES:
            raise ValueError(f"part {number} has {size} bytes")
        file.filehandle.seek(page.dataoffsets[number])
        data, (_, _, y, x, _), _ = decode(file.filehandle.read(size), number, jpegtables=jpegtables)
        if data is None:
            continue
        first, last = max(top, y), min(bottom, y + tall)
        right = min(wide, width - x)
        found[first - top : last - top, x : x + right] = data[0, first - y : last - y, :right]
    return found


def _to_rgb(values: npt.NDArray[Any], page: TiffPage) -> Pixels:
    """u1 (h, w, 3), by the rules of `smearsynth.base.images.decode_image`. values: (h, w, samples)."""
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        values = np.iinfo(values.dtype).max - values
    if values.dtype.itemsize == 2:
        grey = values.shape[2] < 3
        values = ((values.astype(np.uint32) + 128) // 257 if grey else values >> 8).astype(np.uint8)
    if values.shape[2] in (2, 4):
        alpha = values[..., -1:].astype(np.uint32)
        values = ((values[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.broadcast_to(values, (*values.shape[:2], 3))


_SEEN = 4096
"""Pixels a side of the middle of a large image, by whose red cells `auto` finds the scale of all of it."""


class Picture(Protocol):
    """An image that was opened."""

    @property
    def name(self) -> str:
        """What messages call it: its path."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""

    def rows(self, top: int, bottom: int) -> Pixels:
        """u1 (bottom - top, width, 3) RGB, 0 <= top < bottom <= height; not to be written to."""


class WholePicture:
    """An image in memory: u1 (h, w, 3) RGB."""

    def __init__(self, pixels: Pixels, name: str = "image") -> None:
        self.pixels, self.name = pixels, name

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def rows(self, top: int, bottom: int) -> Pixels:
        """As `Picture` says."""
        return self.pixels[top:bottom]


def open_picture(path: str | Path) -> Picture:
    """An image file: upright RGB as `base.images.decode_image` makes it, in memory up to 64 megapixels; a TIFF
    beyond that is read in windows. Raises UserError: missing, no image, damaged, too large for its format."""
    path = Path(path)
    return LargeTiff(path) if is_large_tiff(path) else WholePicture(read_image(path), str(path))


def um_per_px_of(scale: Scale, path: str | Path, picture: Picture) -> float:
    """um/px of a picture; by `auto` that of its red cells, of a large one those in its middle. UserError as `Scale.of`
    says."""
    (height, width), side = picture.shape, _SEEN
    if scale.spec == AUTO and height * width > side * side:
        top, left = max(0, height - side) // 2, max(0, width - side) // 2
        seen = picture.rows(top, min(height, top + side))[:, left : left + side]
    else:
        seen = picture.rows(0, height) if scale.spec == AUTO else np.empty((0, 0, 3), np.uint8)
    return scale.of(Path(path), seen)
