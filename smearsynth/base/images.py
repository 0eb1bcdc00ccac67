"""Image files to arrays: the header is judged before a pixel is decoded, and one form comes out of every kind of file.

A file's bytes are read once, so that the digest recorded for it is the digest of what was decoded.
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

from smearsynth.base.errors import UserError

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
_LEAST_OF_16_BITS = 1 << 12
"""Smears are bright: one whose brightest value is below that was recorded with fewer bits than its file has."""


class ImageError(UserError):
    """An image that is refused. reason: short key that refusals are counted by; str(): the sentence for the user."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return ImageError, (self.reason, self.sentence)


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


def read_header(path: Path) -> ImageHeader:
    """Size and kind of an image without decoding it. Raises ImageError."""
    with _opened(path, path.name) as image:
        # Other formats are turned by Pillow itself, or carry no orientation.
        turned = "exif" in image.info and image.getexif().get(_ORIENTATION) in SIDEWAYS
        height, width = image.size if turned else image.size[::-1]
        return ImageHeader(height, width, image.mode in ("1", "L", "P") or image.mode.startswith("I;16"))


def read_orientation(path: Path) -> int:
    """How EXIF turns an image: 1 (not at all) to 8. Raises ImageError."""
    with _opened(path, path.name) as image:
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


def decode_image(data: bytes, name: str, *, most_pixels: int = MAX_PIXELS) -> Pixels:
    """uint8 (h, w, 3) RGB, upright, of the first frame.

    16-bit values are divided by 257 (the high byte where a pixel has three of them), grey is repeated, and what is
    transparent is laid on white, as empty glass is. name: of the file, for messages. most_pixels: of an image that is
    not refused. Raises ImageError, also for 16-bit values of which none is above 4,095: they would be a black image.
    """
    with _opened(BytesIO(data), name, most_pixels) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image, name)


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
def _opened(file: Path | BytesIO, name: str, most_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """The image with its header judged; whatever Pillow raises while it is open becomes an ImageError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                _judge(image, name, most_pixels)
                yield image
    except ImageError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise _too_large(name, most_pixels) from None
    # A damaged file makes Pillow's readers fail in many ways, and none of them is documented.
    except Exception as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        if cause.startswith("cannot identify"):
            cause = f"none of the formats {', '.join(FORMATS)}"
        raise ImageError("unreadable", f"{name}: cannot be read as an image ({cause}); replace the file") from None


@contextmanager
def _opened_mask(data: bytes, name: str, *, lossless: bool = False) -> Iterator[Image.Image]:
    """A mask, decoded and upright; lossless: one whose values its compression changes is refused."""
    with _opened(BytesIO(data), name) as image:
        if lossless and _is_lossy(image, data):
            raise ImageError(
                "mask_lossy", f"{name}: the compression of JPEG blurs the edge of a mask; give it as PNG or BMP"
            )
        if _has_second_frame(image):
            raise ImageError(
                "mask_frames", f"{name}: the mask has several pages or frames; save the one of its image alone"
            )
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        yield image


def _judge(image: Image.Image, name: str, most_pixels: int) -> None:
    """By its header; of a TIFF also what Pillow reads without a word of complaint, and wrongly."""
    width, height = image.size
    if width * height > most_pixels:
        raise _too_large(name, most_pixels, f", it has {width}x{height}")
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            "too_small", f"{name}: {width}x{height} px show no cell; at least {MIN_SIDE} px a side are needed"
        )
    if not isinstance(image, TiffImageFile):
        return
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
    if image.mode.startswith("I;16") and (top := int(np.asarray(image).max())) < _LEAST_OF_16_BITS:
        raise ImageError(
            "pixel_type",
            f"{name}: its 16-bit values end at {top:,} of 65,535, as of a camera of 12 bits or fewer; stretch them, or "
            "save it with 8 bits",
        )
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows, band in _bands(image):
        pixels[rows] = _band_to_rgb(band)
    return pixels


def _band_to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        return (((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))[..., None]
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA")).astype(np.uint32)
        alpha = rgba[..., 3:]
        return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.asarray(image.convert("RGB"))


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Rows of the image and what they show, so that no conversion needs memory for all of it."""
    height = max(1, _BAND // image.width)
    for top in range(0, image.height, height):
        bottom = min(top + height, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _palette(image: Image.Image) -> Pixels:
    used = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    return np.pad(used, ((0, 256 - len(used)), (0, 0)))
