"""Image files to arrays: the header is judged before a pixel is decoded, and one form comes out of every kind of file.

A file's bytes are read once, so that the digest recorded for it is the digest of what was decoded. Pillow decodes all
that has 8 bits a value; of colours of 16 it gives the high byte, so tifffile decodes those that need all of them.
"""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, TiffImageFile

from smearsynth.base.errors import ImageError
from smearsynth.base.tiff_layout import MAGIC, TiffLayout, check_range, deep_values, read_layout, to_eight_bits

Pixels = npt.NDArray[np.uint8]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""All that is ever opened: none of these can run a program, as PostScript does."""
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 64_000_000
MAX_BYTES = 8 * MAX_PIXELS
"""Of a file: the largest image as uncompressed 16-bit RGBA."""
MIN_SIDE = 8
"""An image narrower than this shows no cell."""
SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations in which height and width change places."""
_ORIENTATION = 0x0112
_FIND_IT = "check its path, or unpack its source again"
_BAND = 1_000_000
"""Pixels that are converted at a time."""
_WHITE_IS_ZERO, _APART = 0, 2
"""Of a TIFF's photometric interpretation, and of its planar configuration: channels one after another."""
_ANIMATED = ("GIF", "PNG", "WEBP")
"""Formats of several frames; a second one in a JPEG (MPO) is for phones."""


@dataclass(frozen=True)
class ImageHeader:
    """Height and width of the upright image in px; whether a pixel is one value: grey, two-level or palette."""

    height: int
    width: int
    single_channel: bool


@dataclass(frozen=True)
class MaskPixels:
    """A mask as its file has it, upright; of `value` and `colour` it has one.

    value: uint16 (h, w), the one value of each pixel: grey of 1 (then 0 or 1), 8 or 16 bits, or the index of its colour
    in `palette`, uint8 (256, 3) RGB. colour: uint8 (h, w, 3) RGB. alpha: uint8 (h, w), None where all is opaque. lossy:
    its format changes values.
    """

    value: npt.NDArray[np.uint16] | None
    colour: Pixels | None
    palette: Pixels | None
    alpha: Pixels | None
    lossy: bool


def read_header(path: Path, page: int | None = None) -> ImageHeader:
    """Size and kind of an image without decoding it. page: of a TIFF, from 1; None: the one that is the image. Raises
    ImageError."""
    with _opened(path, path.name, page=page) as (image, layout):
        # Other formats are turned by Pillow itself, or carry no orientation.
        turned = "exif" in image.info and image.getexif().get(_ORIENTATION) in SIDEWAYS
        height, width = image.size if turned else image.size[::-1]
        joined = layout is not None and len(layout.pages) > 1
        single = image.mode in ("1", "L", "P") or image.mode.startswith("I;16")
        return ImageHeader(height, width, single and not joined)


def read_orientation(path: Path, page: int | None = None) -> int:
    """How EXIF turns an image: 1 (not at all) to 8. page: as `read_header` has it. Raises ImageError."""
    with _opened(path, path.name, page=page) as (image, _):
        turn = image.getexif().get(_ORIENTATION, 1)
        return turn if turn in range(1, 9) else 1


def read_bytes(path: Path) -> bytes:
    """The file as it is. Raises ImageError (`missing`, `unreadable`, `too_large`)."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImageError("too_large", f"{path}: over {MAX_BYTES >> 20} MiB; cut it into smaller images")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError("missing", f"{path}: the file is not there; {_FIND_IT}") from None
    except OSError as error:
        raise ImageError("unreadable", f"{path}: cannot be read ({error.strerror}); check the file") from None


def sha256_of(data: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def decode_image(data: bytes, name: str, *, most_pixels: int = MAX_PIXELS, page: int | None = None) -> Pixels:
    """uint8 (h, w, 3) RGB, upright.

    16-bit values go from the black to the white that the file states, else they are divided by 257 (the high byte where
    a pixel has three of them). Grey is repeated, and what is transparent is laid on white, as empty glass is. Of a TIFF
    with several pages it is the one that is marked as the image, or the three that are its colours. name: of the file,
    for messages. most_pixels: of an image that is not refused. page: of a TIFF, from 1, where it is not marked.

    Raises ImageError, also for 16-bit values that end below a quarter of their range and state none (they would be a
    black image), and for several pages or frames of which none is marked.
    """
    with _opened(BytesIO(data), name, most_pixels, page=page) as (image, layout):
        if layout is not None and layout.unread:
            raise ImageError("pixel_type", f"{name}: {layout.unread}")
        if layout is not None and layout.deep:
            return _deep_to_rgb(deep_values(data, layout, name), layout)
        if layout is not None and len(layout.pages) > 1:
            return np.stack([_grey_page(image, number) for number in layout.pages], axis=2)
        deep = ";16" in str(getattr(image, "tile", ""))
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if deep and len(bands := image.getbands()) > 1:
            colours = np.asarray(image)[..., : len(bands) - (bands[-1] == "A")]
            check_range(int(colours.max()) << 8 | 255, None, name)
        return _to_rgb(image, name)


def decode_opacity(data: bytes, name: str, page: int | None = None) -> Pixels | None:
    """uint8 (h, w), upright: the alpha of an image that is partly transparent, else None. name: of the file, for
    messages. page: as `decode_image` has it. Raises ImageError as that does."""
    with _opened(BytesIO(data), name, page=page) as (image, _):
        if not image.has_transparency_data:
            return None
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        alpha = np.array(image.convert("RGBA"))[..., 3]
    return alpha if alpha.min() < 128 <= alpha.max() else None


def mask_values(data: bytes, name: str) -> npt.NDArray[Any]:
    """(h, w) of the file's own depth, upright: the brightest channel of a mask, 0 where it is transparent.

    name: of the file, for messages. Raises ImageError, also for several pages or frames, of which one alone would leave
    out the cells of the others (`mask_frames`).
    """
    with _opened_mask(data, name) as image:
        return _brightest(image)


def decode_mask(data: bytes, name: str) -> MaskPixels:
    """The values of a mask, unchanged. name: of the file, for messages. Raises ImageError, as `mask_values` does."""
    with _opened_mask(data, name) as image:
        lossy, mode = _is_lossy(image, data), image.mode
        alpha = np.asarray(image.convert("RGBA"))[..., 3] if image.has_transparency_data else None
        if mode not in ("1", "L", "LA", "P", "I", "F") and not mode.startswith("I;16"):
            return MaskPixels(None, np.array(image.convert("RGB")), None, alpha, lossy)
        value = np.asarray(image)[..., 0] if mode == "LA" else np.asarray(image)
        if value.dtype.itemsize > 2 and (mode == "F" or value.min() < 0 or value.max() > 65_535):
            raise _no_range(name)
        return MaskPixels(value.astype(np.uint16), None, _palette(image) if mode == "P" else None, alpha, lossy)


def decode_ids(data: bytes, name: str) -> npt.NDArray[np.int64]:
    """int64 (h, w), upright: the numbers of a mask of instances, of up to 32 bits, also where they are whole numbers
    stored as floats, as ImageJ does. name: of the file, for messages. Raises ImageError, also for colours, values below
    0 or between whole numbers (`ids`), a compression that changes them (`mask_lossy`), or several pages."""
    with _opened_mask(data, name, lossless=True) as image:
        if image.mode not in ("1", "L", "P", "I", "F") and not image.mode.startswith("I;"):
            raise ImageError(
                "ids", f"{name}: holds colours, and a mask of instances a number for each cell; save it as 16-bit grey"
            )
        values = np.asarray(image)
    ids = values.astype(np.int64)
    if (ids != values).any() or ids.min() < 0:
        raise ImageError("ids", f"{name}: holds values that are no numbers of cells; save it with whole numbers from 0")
    return ids


def read_mask(path: Path, *, shape: tuple[int, int], pad: int = 0) -> Pixels:
    """uint8 (h, w), 255 where the mask has any value above 0 and is not transparent, else 0.

    shape: height and width of the image it belongs to. pad: pixels that the mask was cropped by on every side; they
    are put back as background, for a mask resized instead would be shifted by up to `pad`.
    Raises ImageError, also for a mask of another size (`mask_size`), without any cell (`mask_empty`), of several frames
    (`mask_frames`), compressed so that its edge blurs (`mask_lossy`), or that is not there (`mask_missing`).
    """
    if not path.is_file():
        raise ImageError("mask_missing", f"{path}: the mask is not there; {_FIND_IT}")
    with _opened_mask(read_bytes(path), str(path), lossless=True) as image:
        mask = np.pad(_brightest(image) > 0, pad)
    if mask.shape != shape:
        rim = f" with its rim of {pad} px" if pad else ""
        raise ImageError(
            "mask_size",
            f"{path}: the mask is {size_text(mask.shape)}{rim}, its image {size_text(shape)}; "
            "give the mask of that image",
        )
    if not mask.any():
        raise ImageError("mask_empty", f"{path}: the mask is empty; mark the cell with values above 0")
    return mask.astype(np.uint8) * np.uint8(255)


def size_text(shape: tuple[int, ...]) -> str:
    """WIDTHxHEIGHT, as users read sizes. shape: (h, w, ...)."""
    return f"{shape[1]}x{shape[0]}"


@contextmanager
def _opened(
    file: Path | BytesIO,
    name: str,
    most_pixels: int = MAX_PIXELS,
    *,
    page: int | None = None,
    frames: bool = False,
) -> Iterator[tuple[Image.Image, TiffLayout | None]]:
    """The image with its header judged, at the frame that is the image, and of a TIFF where that is; whatever is raised
    while it is open becomes an ImageError. frames: the caller looks at those himself."""
    layout = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if not frames and _is_tiff(file):
                layout = read_layout(file, name, page)
            elif page not in (None, 1):
                raise ImageError("page", f"{name}: is no TIFF, and has one page; leave the page out", "page")
            with Image.open(file, formats=FORMATS) as image:
                if layout is not None:
                    image.seek(layout.pages[0])
                _judge(image, name, most_pixels)
                if not frames and image.format in _ANIMATED and getattr(image, "is_animated", False):
                    raise ImageError(
                        "pages", f"{name}: has several frames; save the one that counts as a file of its own"
                    )
                yield image, layout
    except ImageError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _too_large(name, most_pixels) from None
    # A damaged file makes readers fail in many ways, and none of them is documented.
    except Exception as error:
        if layout is not None and layout.unread:
            raise ImageError("pixel_type", f"{name}: {layout.unread}") from None
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        if cause.startswith("cannot identify"):
            cause = f"none of the formats {', '.join(FORMATS)}"
        raise ImageError("unreadable", f"{name}: cannot be read as an image ({cause}); replace the file") from None


def _is_tiff(file: Path | BytesIO) -> bool:
    if isinstance(file, BytesIO):
        return file.getbuffer()[:4].tobytes() in MAGIC
    with file.open("rb") as opened:
        return opened.read(4) in MAGIC


@contextmanager
def _opened_mask(data: bytes, name: str, *, lossless: bool = False) -> Iterator[Image.Image]:
    """A mask, decoded and upright; lossless: one whose values its compression changes is refused."""
    with _opened(BytesIO(data), name, frames=True) as (image, _):
        if lossless and _is_lossy(image, data):
            raise ImageError(
                "mask_lossy", f"{name}: the compression of JPEG blurs the edge of a mask; give it as PNG or BMP"
            )
        if _has_second_frame(image):
            raise ImageError(
                "mask_frames", f"{name}: the mask has several pages or frames; save the one of its image alone"
            )
        if isinstance(image, TiffImageFile):
            _refuse_misread(image, name)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        yield image


def _judge(image: Image.Image, name: str, most_pixels: int) -> None:
    """By its header."""
    width, height = image.size
    if width * height > most_pixels:
        raise _too_large(name, most_pixels, f", it has {width}x{height}")
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            "too_small", f"{name}: {width}x{height} px show no cell; at least {MIN_SIDE} px a side are needed"
        )


def _refuse_misread(image: TiffImageFile, name: str) -> None:
    """What Pillow reads without a word of complaint, and wrongly."""
    tags = image.tag_v2
    bits, why = max(tags.get(BITSPERSAMPLE, (1,))), ""
    if 8 < bits < 16:
        why = f"its {bits} bits a value are not read; save it with 8 or 16 bits"
    elif bits == 16 and tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO:
        why = "its 16-bit values grow from white to black; save it the other way"
    elif bits == 16 and tags.get(PLANAR_CONFIGURATION) == _APART and image.info.get("compression") == "raw":
        why = "its 16-bit colours lie apart; save it with the channels of a pixel together, or compressed"
    if why:
        raise ImageError("pixel_type", f"{name}: {why}")


def _too_large(name: str, most_pixels: int, size: str = "") -> ImageError:
    limit = most_pixels // 1_000_000
    return ImageError("too_large", f"{name}: images may have up to {limit} megapixels{size}; cut it into fields")


def _no_range(name: str) -> ImageError:
    return ImageError("pixel_type", f"{name}: 32-bit pixels have no agreed range; save it with 8 or 16 bits")


def _has_second_frame(image: Image.Image) -> bool:
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _is_lossy(image: Image.Image, data: bytes) -> bool:
    """Whether a decoder gives other values than were saved. data: the file."""
    if image.format == "WEBP":
        return data[12:16] != b"VP8L"
    return image.format in ("JPEG", "MPO") or image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")


def _brightest(image: Image.Image) -> npt.NDArray[Any]:
    """(h, w): the brightest channel, 0 where the image is transparent."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return np.array(image)
    values = np.empty((image.height, image.width), np.uint8)
    for rows, band in _bands(image):
        rgba = np.asarray(band.convert("RGBA"))
        values[rows] = np.where(rgba[..., 3] > 0, rgba[..., :3].max(axis=2), 0)
    return values


def _to_rgb(image: Image.Image, name: str) -> Pixels:
    if image.mode in ("I", "F"):
        raise _no_range(name)
    if image.mode.startswith("I;16"):
        check_range(int(np.asarray(image).max()), None, name)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows, band in _bands(image):
        pixels[rows] = _band_to_rgb(band)
    return pixels


def _band_to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        return to_eight_bits(np.asarray(image), None, grey=True)[..., None]
    return on_white(np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB")))


def _deep_to_rgb(values: npt.NDArray[np.uint16], layout: TiffLayout) -> Pixels:
    """values: (h, w, samples), as `deep_values` gives them."""
    grey = values.shape[2] < 3 or len(layout.pages) > 1
    pixels = on_white(to_eight_bits(values, layout.stated, grey=grey))
    return np.ascontiguousarray(np.broadcast_to(pixels, (*values.shape[:2], 3)))


def on_white(pixels: Pixels) -> Pixels:
    """uint8 (h, w, 1 or 3): what is transparent laid on white. pixels: with alpha as a second or a fourth channel, or
    without."""
    if pixels.shape[2] in (1, 3):
        return pixels
    alpha = pixels[..., -1:].astype(np.uint32)
    return ((pixels[..., :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _grey_page(image: Image.Image, number: int) -> Pixels:
    image.seek(number)
    image.load()
    return np.asarray(image.convert("L"))


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Rows of the image and what they show, so that no conversion needs memory for all of it."""
    height = max(1, _BAND // image.width)
    for top in range(0, image.height, height):
        bottom = min(top + height, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _palette(image: Image.Image) -> Pixels:
    used = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    return np.pad(used, ((0, 256 - len(used)), (0, 0)))
