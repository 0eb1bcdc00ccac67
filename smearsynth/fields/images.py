"""Real images and their masks, as a user has them in folders; a link there is the user's own, and followed."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from smearsynth.errors import UserError
from smearsynth.images import (
    IMAGE_SUFFIXES,
    SIDEWAYS,
    Pixels,
    decode_image,
    mask_values,
    read_bytes,
    read_header,
    read_orientation,
    size_text,
)

Mask = npt.NDArray[np.bool_]
_SOFT = 0.05
"""Largest share of grey pixels, of those that are cell: soft edges and the traces of JPEG."""


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, not of those inside it, by name; hidden files are left out."""
    return [file for file in sorted(folder.iterdir()) if _is_image(file, folder)]


def image_tree(folder: Path) -> list[Path]:
    """The image files of a folder and of all folders inside it, by path; hidden ones are left out."""
    return [file for file in sorted(folder.rglob("*")) if _is_image(file, folder)]


def read_image(path: Path) -> Pixels:
    """u1 (h, w, 3) RGB, as `images.decode_image` says. Raises UserError."""
    return decode_image(read_bytes(path), str(path))


def read_mask(path: Path, shape: tuple[int, ...]) -> Mask:
    """bool (h, w), true where the brightest channel is over half of the mask's brightest value, and not transparent.

    shape: (h, w) of the image it belongs to. Raises UserError, also for a mask of another size, and for one that is not
    black and white, such as a map of instances: which of its values are cells is not known.
    """
    values = mask_values(read_bytes(path), str(path))
    if values.shape != shape[:2]:
        raise UserError(
            f"{path}: the mask is {size_text(values.shape)}, its image {size_text(shape)}; give that image's mask."
        )
    top = float(values.max())
    cells: Mask = values > top / 2
    between = np.count_nonzero((values > top / 4) & (values < top * 3 / 4))
    if not top >= 0 or between > _SOFT * np.count_nonzero(cells):
        raise UserError(f"{path}: the mask is not black and white; give one that is 255 where a cell is and else 0.")
    return cells


def turned_apart(image: Path, mask: Path) -> str | None:
    """Why it is not known which way round a mask lies on its image, where that is so. Raises UserError.

    Some programs draw masks on the upright image and some on what the file holds. Where EXIF turns only one of the two,
    their sizes tell which it was, unless the turn keeps the size.
    """
    turns = read_orientation(image), read_orientation(mask)
    upright, of_mask = read_header(image), read_header(mask)
    same = (upright.height, upright.width) == (of_mask.height, of_mask.width)
    told = same and upright.height != upright.width and (turns[0] in SIDEWAYS) != (turns[1] in SIDEWAYS)
    if turns[0] == turns[1] or told:
        return None
    return (
        f"{mask}: EXIF turns its image {image.name} otherwise (orientations {turns[0]} and {turns[1]}), and which way "
        "round the mask belongs is not known; save both upright, without EXIF."
    )


def _is_image(file: Path, folder: Path) -> bool:
    shown = not any(part.startswith(".") for part in file.relative_to(folder).parts)
    return shown and file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
