"""Images read by rows, so that one larger than the memory is read as one that is not.

A file's header is judged when it is opened, and its pixels are decoded when rows are first asked for: up to 64
megapixels all at once by Pillow, which knows most corners of the formats; of a larger TIFF only those strips or tiles
that hold the rows, by tifffile; of a scanner's slide the same, by OpenSlide.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, TiffFile, TiffPage

from segtrain.inference.slide_reader import SLIDE_SUFFIXES, SlideReader, level_of
from smearsynth.base.errors import ImageError, UserError, first_line
from smearsynth.base.images import MAX_PIXELS, Pixels, on_white, read_header, size_text
from smearsynth.base.tiff_layout import (
    TiffLayout,
    check_codec,
    check_range,
    highest,
    layout_of,
    page_of,
    positive,
    read_layout,
    to_eight_bits,
)
from smearsynth.fields.field_folder import read_image

_MOST_BYTES = 1 << 28
"""Of one strip or tile, stored or decoded."""
_MOST_SIDE = 1_000_000
_GREY = (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
_LOOKED_AT = 64
"""Rows, evenly taken, by which the range of 16-bit values is judged."""


class ImageReader(Protocol):
    """An upright RGB image that is open."""

    @property
    def name(self) -> str:
        """Its path, for messages."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""

    @property
    def um_per_px(self) -> float | None:
        """Its scale, where its file states one."""

    def rows(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Pixels:
        """uint8 (bottom - top, right - left, 3) RGB, 0 <= top < bottom <= height, 0 <= left < right <= width, which is
        the default; not to be written to. UserError where the file is damaged there."""

    def coarser(self, factor: float) -> "ImageReader":
        """The same image at the smallest level of its pyramid that has as many pixels as it at `factor`, up to 1; or
        itself."""

    def close(self) -> None:
        """Frees its pixels; `rows` would decode them again."""


class ArrayReader:
    """An image in memory: uint8 (h, w, 3) RGB."""

    um_per_px: float | None = None

    def __init__(self, pixels: Pixels, name: str = "image") -> None:
        self._pixels, self.name = pixels, name
        self.shape: tuple[int, int] = (pixels.shape[0], pixels.shape[1])

    def rows(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Pixels:
        """See `ImageReader`."""
        return self._pixels[top:bottom, left:right]

    def coarser(self, factor: float) -> "ArrayReader":  # noqa: ARG002
        """See `ImageReader`."""
        return self

    def close(self) -> None:
        """See `ImageReader`; the pixels are the caller's."""


def as_image(value: Any, name: str = "image") -> ArrayReader:
    """An array as an image. value: uint8, (H, W, 3) RGB or (H, W) grey. Raises UserError that says how another array
    becomes one: nothing is guessed, for a wrong guess gives wrong cells without a word."""
    if not isinstance(value, np.ndarray):
        raise UserError(
            f"{name} is a {type(value).__name__}: give a path or a numpy array, of a PIL image "
            "numpy.asarray(picture.convert('RGB'))"
        )
    shape = "x".join(map(str, value.shape)) or "a single number"
    if value.ndim == 3 and value.shape[0] in (1, 3, 4) and value.shape[2] not in (1, 3, 4):
        raise UserError(f"{name} has the shape {shape}, channels first: give {name}.transpose(1, 2, 0)")
    if value.ndim == 3 and value.shape[2] == 4:
        raise UserError(f"{name} has the shape {shape}, a channel beyond RGB: give {name}[..., :3]")
    if value.ndim not in (2, 3) or (value.ndim == 3 and value.shape[2] not in (1, 3)):
        raise UserError(f"{name} has the shape {shape}: give one image, (height, width, 3) RGB or (height, width) grey")
    if not value.size:
        raise UserError(f"{name} has the shape {shape} and no pixel: give an image")
    if value.dtype != np.uint8:
        ways = {
            "f": f", of 0 to 1 as ({name} * 255).round().astype('uint8')",
            "u": f", of 16 bits as ({name} >> 8).astype('uint8')",
        }
        raise UserError(f"{name} holds {value.dtype}: give uint8, 0 to 255{ways.get(value.dtype.kind, '')}")
    if max(value.shape) > _MOST_SIDE:
        raise UserError(f"{name} has the shape {shape}, more than a microscope gives: cut it into fields")
    rgb = np.broadcast_to(value.reshape(*value.shape[:2], -1), (*value.shape[:2], 3))
    return ArrayReader(np.ascontiguousarray(rgb), name)


class FileReader:
    """An image file of up to 64 megapixels, which is kept in memory from the first `rows` until `close`."""

    def __init__(self, path: Path, page: int | None = None, um_per_px: float | None = None) -> None:
        header = read_header(path, page)
        self.name, self.shape = str(path), (header.height, header.width)
        self._page, self.um_per_px = page, um_per_px
        self._pixels: Pixels | None = None

    def rows(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Pixels:
        """See `ImageReader`."""
        if self._pixels is None:
            self._pixels = read_image(Path(self.name), self._page)
        return self._pixels[top:bottom, left:right]

    def coarser(self, factor: float) -> "FileReader":  # noqa: ARG002
        """See `ImageReader`."""
        return self

    def close(self) -> None:
        """See `ImageReader`."""
        self._pixels = None


class TiffReader:
    """A TIFF file of any size, in strips or tiles, compressed or not; a pyramid at one of its levels. layout: what of
    it is the image."""

    def __init__(self, path: Path, layout: TiffLayout | None = None, level: int = 0) -> None:
        self._layout = layout = layout or read_layout(path, str(path))
        self.name, self._level = str(path), level
        self.um_per_px = layout.um_per_px if level == 0 else None
        self._pages = layout.levels[level - 1 : level] if level else layout.pages
        with TiffFile(path, _multifile=False) as file:
            levels = [page_of(file, number) for number in layout.levels]
            self._shapes = [layout.shape, *((page.imagelength, page.imagewidth) for page in levels)]
            self.shape = self._shapes[level]
            for page in (*(page_of(file, number) for number in layout.pages), *levels):
                _check(page, self.name)
            for shape in self._shapes[1:]:
                if not _is_smaller(shape, layout.shape):
                    raise ImageError(
                        "page",
                        f"{path}: its pyramid is broken: {size_text(shape)} px are not {size_text(layout.shape)} px "
                        "made smaller; save it anew",
                    )
            if layout.bits == 16:
                check_range(self._highest(file), layout.stated, self.name)

    def rows(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Pixels:
        """See `ImageReader`."""
        window = (slice(top, bottom), slice(left, self.shape[1] if right is None else right))
        try:
            with TiffFile(self.name, _multifile=False) as file:
                return _to_rgb(self._values(file, *window), page_of(file, self._pages[0]), self._layout)
        # A damaged file makes a decoder fail in many ways, and none of them is documented.
        except Exception as error:
            raise ImageError(
                "unreadable",
                f"{self.name}: rows {top} to {bottom} cannot be read ({first_line(error)}); replace the file",
            ) from None

    def coarser(self, factor: float) -> "TiffReader":
        """See `ImageReader`."""
        level = self._level + level_of([width for _, width in self._shapes[self._level :]], factor)
        return self if level == self._level else TiffReader(Path(self.name), self._layout, level)

    def close(self) -> None:
        """See `ImageReader`; nothing is kept."""

    def _values(self, file: TiffFile, rows: slice, columns: slice) -> npt.NDArray[Any]:
        """(h, w, samples) as they are stored, of several pages those of all."""
        pages = [_window(file, page_of(file, number), rows, columns) for number in self._pages]
        return np.concatenate(pages, axis=2) if len(pages) > 1 else pages[0]

    def _highest(self, file: TiffFile) -> int:
        """Greatest value of some rows; the whole of a slide would take minutes."""
        try:
            tops = np.linspace(0, self.shape[0] - 1, min(self.shape[0], _LOOKED_AT)).astype(int).tolist()
            whole = slice(0, self.shape[1])
            return max(highest(self._values(file, slice(top, top + 1), whole)) for top in tops)
        except Exception as error:
            raise ImageError(
                "unreadable", f"{self.name}: cannot be read ({first_line(error)}); replace the file"
            ) from None


def open_image(path: str | Path, page: int | None = None) -> ImageReader:
    """An image file by its header. page: of a TIFF, from 1; None: the one that is the image. UserError: missing, no
    image, damaged, too large for its format, of several pages of which none is marked as the image, and of a TIFF over
    64 megapixels also other pixels than grey or RGB of 8 or 16 bits."""
    path = Path(path)
    if not path.is_file():
        raise ImageError("missing", f"{path}: the file is not there; check its path")
    if path.suffix.lower() in SLIDE_SUFFIXES:
        return SlideReader(path)
    layout = layout_of(path, page)
    if layout is not None and layout.shape[0] * layout.shape[1] > MAX_PIXELS:
        return TiffReader(path, layout)
    return FileReader(path, page, layout.um_per_px if layout else None)


def _check(page: TiffPage, name: str) -> None:
    """ImageError where a page cannot be read in parts, or in other numbers than Pillow would give."""
    colours = page.samplesperpixel - (page.samplesperpixel in (2, 4))
    # What decodes JPEG makes RGB of its YCbCr; of other compressions that would be taken for RGB.
    rgb = page.photometric == PHOTOMETRIC.RGB or (
        page.photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.JPEG
    )
    if not (
        (page.photometric in _GREY if colours == 1 else colours == 3 and rgb)
        and page.dtype in (np.uint8, np.uint16)
        and page.bitspersample == 8 * page.dtype.itemsize
        and (page.samplesperpixel == colours or page.extrasamples == (EXTRASAMPLE.UNASSALPHA,))
        and (page.samplesperpixel == 1 or page.planarconfig == 1)
        and page.tags.valueof("Orientation", 1) == 1
    ):
        raise ImageError(
            "pixel_type",
            f"{name}: a TIFF over {MAX_PIXELS // 1_000_000} megapixels must be upright and grey or RGB of 8 or 16 "
            "bits, with the channels of a pixel together; save it so",
        )
    if max(page.imagelength, page.imagewidth) > _MOST_SIDE:
        size = size_text((page.imagelength, page.imagewidth))
        raise ImageError("too_large", f"{name}: {size} px are more than a microscope gives; cut it into fields")
    tall, wide = _part(page)
    decoded = tall * wide * page.samplesperpixel * page.dtype.itemsize
    if not page.is_final and max(decoded, *page.databytecounts) > _MOST_BYTES:
        raise ImageError(
            "too_large", f"{name}: its parts of {wide}x{tall} px are too large to be read one by one; save it in tiles"
        )
    check_codec(page, name)


def _part(page: TiffPage) -> tuple[int, int]:
    """Height and width of a strip or tile."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


def _is_smaller(shape: tuple[int, int], of: tuple[int, int]) -> bool:
    """Whether (h, w) is an image of another (h, w) made smaller, each side rounded up or down."""
    factors = [(part - 1, part + 1, full) for part, full in zip(shape, of, strict=True)]
    (low, high, height), (left, right, width) = factors
    return low * width <= right * height and left * height <= high * width and shape[0] < of[0]


def _window(file: TiffFile, page: TiffPage, rows: slice, columns: slice) -> npt.NDArray[Any]:
    """(h, w, samples) as they are stored; a strip or tile that the file leaves out is 0."""
    assert page.dtype is not None
    height, width, samples = page.imagelength, page.imagewidth, page.samplesperpixel
    if page.is_final:
        # Mapped anew each time, so that rows read before don't stay in memory.
        dtype, start = page.dtype.newbyteorder(file.byteorder), page.dataoffsets[0]
        return np.memmap(file.filehandle.path, dtype, "r", start, (height, width, samples))[rows, columns]
    tall, wide = _part(page)
    across = -(-width // wide)
    down = range(rows.start // tall, -(-rows.stop // tall))
    numbers = [y * across + x for y in down for x in range(columns.start // wide, -(-columns.stop // wide))]
    offsets, sizes = ([of[n] for n in numbers] for of in (page.dataoffsets, page.databytecounts))
    window = np.zeros((rows.stop - rows.start, columns.stop - columns.start, samples), page.dtype)
    for data, number in file.filehandle.read_segments(offsets, sizes, numbers):
        part, (_, _, y, x, _), _ = page.decode(data, number, jpegtables=page.jpegtables)
        if part is not None:
            # A tile at the edge of the image is longer than the image.
            (top, bottom), (left, right) = (
                (max(at.start, first), min(at.stop, first + length))
                for at, first, length in ((rows, y, part.shape[1]), (columns, x, part.shape[2]))
            )
            into = window[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
            into[:] = part[0, top - y : bottom - y, left - x : right - x]
    return window


def _to_rgb(values: npt.NDArray[Any], page: TiffPage, layout: TiffLayout) -> Pixels:
    """uint8 (h, w, 3), by the rules of `smearsynth.base.images.decode_image`. values: (h, w, samples)."""
    values = positive(values, page, layout.stated)
    if values.dtype.itemsize == 2:
        values = to_eight_bits(values, layout.stated, grey=values.shape[2] < 3 or len(layout.pages) > 1)
    return np.broadcast_to(on_white(values), (*values.shape[:2], 3))
