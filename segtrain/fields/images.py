"""Image files of any common kind to one form; what cannot be used is refused in a sentence."""

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from smearsynth.errors import UserError

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")
"""All that is ever opened: none of these can run a program."""
SUFFIXES = frozenset({".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 64_000_000


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, not of those inside it, by name; hidden files are left out."""
    files = (f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
    return sorted(f for f in files if f.is_file())


def read_image(path: Path) -> Pixels:
    """u1 (h, w, 3) RGB, upright; grey is repeated, 16-bit values keep their high byte. Raises UserError."""
    image = _opened(path)
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise UserError(f"{path}: 32-bit pixels have no agreed range; save it with 8 or 16 bits.")
    return np.array(image.convert("RGB"))


def read_mask(path: Path, shape: tuple[int, ...]) -> Mask:
    """bool (h, w), true where the brightest channel is over half of its range, or over 0 in a mask of values 0 and 1.

    shape: (h, w) of the image it belongs to. Raises UserError, also for a mask of another size.
    """
    values = read_image(path).max(axis=2)
    if values.shape != shape[:2]:
        raise UserError(f"{path}: the mask is {_size(values.shape)}, its image {_size(shape)}; give that image's mask.")
    return values > (127 if values.max() > 1 else 0)


def _opened(path: Path) -> Image.Image:
    # A damaged file makes Pillow's readers fail in many ways, and none of them is documented.
    try:
        image = Image.open(BytesIO(path.read_bytes()), formats=FORMATS)
        too_large = image.size[0] * image.size[1] > MAX_PIXELS
        if not too_large:
            image.load()
    except OSError as error:
        reason = error.strerror or f"none of the formats {', '.join(FORMATS)}, or damaged"
        raise UserError(f"{path}: cannot be read as an image ({reason}); replace the file.") from None
    except Exception as error:
        raise UserError(f"{path}: cannot be read as an image ({error}); replace the file.") from None
    if too_large:
        raise UserError(f"{path}: images may have up to {MAX_PIXELS // 1_000_000} megapixels; cut it into fields.")
    return ImageOps.exif_transpose(image)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
