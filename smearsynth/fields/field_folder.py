"""Real images and their masks, as a user has them in folders, and what of a mask counts.

A link in a folder is the user's own, and followed. A folder of fields holds

    img/    images
    mask/   a mask of the same stem for each, white (or 1) where a cell is
    boxes/  optional: per image STEM.txt with a line `class cx cy width height` per cell: a number, then shares of the
            image

A cell that was drawn but not boxed (at the border, mostly) was not judged by an expert, so it is ignored together with
its rim: two honest outlines of one cell differ by a pixel or two at 40x, and a prediction that is right but wider than
the mask would else be wrong all around a cell that does not count. A pixel nearer to a cell that counts always counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.base.errors import UserError
from smearsynth.base.files import walk_files
from smearsynth.base.images import (
    FORMATS,
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
IMAGES, MASKS, BOXES = "img", "mask", "boxes"
_SOFT = 0.05
"""Largest share of grey pixels, of those that are cell: soft edges and the traces of JPEG."""
_MOST_BYTES = 10_000_000
"""Of a table of boxes: a hundred thousand rows."""
_BEYOND = 0.01
"""By which a box may leave its image: what annotation tools round. A box in pixels would count no cell at all."""
_LEAST = 100
"""Pixels that cells and glass each need before their brightness is compared."""
CLEARLY = 4.0
"""Grey levels by which they must differ."""
_RIM = 0.1
"""Width of an ignored cell's rim over the median side of the boxes: 0.7 um, 3 to 4 px at 40x."""


@dataclass(frozen=True)
class Field:
    """One real field. image: uint8 (h, w, 3) RGB. cells: bool (h, w), truth. counted: bool (h, w), false = ignored.
    boxes: int64 (n, 5), as `read_boxes` gives them; None where there are none to read. name: of its file below img/."""

    path: Path
    image: Pixels
    cells: Mask
    counted: Mask
    boxes: npt.NDArray[np.int64] | None = None
    name: str = ""


def is_folder(path: Path) -> bool:
    """Whether `path` looks like a folder of images and masks."""
    return (path / IMAGES).is_dir() and (path / MASKS).is_dir()


def read_fields(folder: Path, page: int | None = None) -> Iterator[Field]:
    """The fields by name, read one at a time. page: of the images, where they are TIFF of several.

    Raises UserError: no images, an image without a mask, sizes that differ, a broken table of boxes.
    """
    return (_read_field(folder, file, mask, page) for file, mask in image_and_mask_files(folder))


def _read_field(folder: Path, file: Path, mask: Path, page: int | None) -> Field:
    image = read_image(file, page)
    if error := turned_apart(file, mask, page):
        raise UserError(error)
    cells = read_field_mask(mask, image.shape)
    refuse_negative(mask, image, cells)
    name = file.relative_to(folder / IMAGES)
    if not (folder / BOXES).is_dir():
        return Field(file, image, cells, np.ones_like(cells), name=name.as_posix())
    boxes = read_boxes(folder / BOXES / name.with_suffix(".txt"), cells.shape)
    return Field(file, image, cells, boxed(cells, boxes[:, 1:]), boxes, name.as_posix())


def image_and_mask_files(folder: Path) -> list[tuple[Path, Path]]:
    """Each image with its mask, by name. Raises UserError: no images, an image without a mask."""
    if not is_folder(folder):
        raise UserError(f"{folder}: needs the folders {IMAGES}/ and {MASKS}/ with a mask of the same stem per image.")
    files = _by_stem(folder / IMAGES)
    if not files:
        raise UserError(f"{folder / IMAGES}: holds no image; put {', '.join(FORMATS)} files there.")
    masks = _by_stem(folder / MASKS)
    missing = [file.name for stem, file in files.items() if stem not in masks]
    if missing:
        raise UserError(f"{folder / MASKS}: no mask for {missing[0]} ({len(missing)} missing); add it under that stem.")
    return [(file, masks[stem]) for stem, file in files.items()]


def _by_stem(folder: Path) -> dict[Path, Path]:
    """The images in a folder and below, each by its path without the extension; UserError where two share one, for a
    mask of another image would be taken for its own."""
    stems: dict[Path, Path] = {}
    for file in image_tree(folder):
        stem = file.relative_to(folder).with_suffix("")
        if stem in stems:
            raise UserError(f"{file}: {stems[stem].name} has the same stem; rename or remove one of the two.")
        stems[stem] = file
    return stems


def read_field_mask(path: Path, shape: tuple[int, ...]) -> Mask:
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


def contrast_of_cells(image: Pixels, cells: Mask, glass: Mask) -> float:
    """Mean grey of the image in `cells` less that in `glass`; 0 where one of them is too rare.

    image: uint8 (h, w, 3) RGB. cells, glass: bool (h, w).
    """
    if min(np.count_nonzero(cells), np.count_nonzero(glass)) < _LEAST:
        return 0.0
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return float(grey[cells].mean() - grey[glass].mean())


def refuse_negative(path: Path, image: Pixels, cells: Mask) -> None:
    """UserError where what the mask `path` calls cells is the brighter part of its image: in transmitted light cells
    are darker than the glass around."""
    if contrast_of_cells(image, cells, ~cells) >= CLEARLY:
        raise UserError(
            f"{path}: what is white in this mask is the brighter part of its image, and cells are darker than glass; "
            "invert it, so that cells are white"
        )


def turned_apart(image: Path, mask: Path, page: int | None = None) -> str | None:
    """Why it is not known which way round a mask lies on its image, where that is so. page: of the image. Raises
    UserError.

    Some programs draw masks on the upright image and some on what the file holds. Where EXIF turns only one of the two,
    their sizes tell which it was, unless the turn keeps the size.
    """
    turns = read_orientation(image, page), read_orientation(mask)
    upright, of_mask = read_header(image, page), read_header(mask)
    same = (upright.height, upright.width) == (of_mask.height, of_mask.width)
    clear = same and upright.height != upright.width and (turns[0] in SIDEWAYS) != (turns[1] in SIDEWAYS)
    if turns[0] == turns[1] or clear:
        return None
    return (
        f"{mask}: EXIF turns its image {image.name} otherwise (orientations {turns[0]} and {turns[1]}), and which way "
        "round the mask belongs is not known; save both upright, without EXIF."
    )


def read_boxes(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """int64 (n, 5): class, and left, top, right, bottom in px, cut to the image. shape: (h, w). Raises UserError."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            raise ValueError("no table")
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        classes = np.array([int(row[0]) for row in rows], np.int64).reshape(len(rows), 1)
        shares = np.array([[float(value) for value in row[1:]] for row in rows]).reshape(len(rows), 4)
        if not ((shares > -_BEYOND) & (shares < 1 + _BEYOND)).all():
            raise ValueError("no shares")
    except (OSError, ValueError, OverflowError):
        raise UserError(
            f"{path}: give a line `class cx cy width height` per cell, as shares of the image, or remove the "
            f"folder {BOXES}/."
        ) from None
    height, width = shape[:2]
    centre, half = shares[:, :2], shares[:, 2:] / 2
    corners = np.hstack([centre - half, centre + half]) * (width, height, width, height)
    return np.hstack([classes, np.clip(np.rint(corners).astype(np.int64), 0, (width, height, width, height))])


def boxed(cells: Mask, boxes: npt.NDArray[np.int64]) -> Mask:
    """bool (h, w): false on the components of `cells` (4-connected) that are the main one in none of the boxes, and on
    the glass within a tenth of a median box of them that is nearer to them than to any other cell.

    boxes: int64 (n, 4), left, top, right, bottom in px; the last two are exclusive.
    """
    label, count = ndimage.label(cells)
    known = np.zeros(count + 1, bool)
    known[0] = True
    for left, top, right, bottom in boxes:
        pixels = np.bincount(label[top:bottom, left:right].ravel(), minlength=count + 1)[1:]
        if pixels.any():
            known[1 + pixels.argmax()] = True
    counted = known[label]
    rim = _RIM * float(np.median(boxes[:, 2:] - boxes[:, :2])) if boxes.size else 0.0
    away = distance_to(~counted)
    return counted & (cells | (away > rim) | (away >= distance_to(counted & cells)))


def distance_to(mask: Mask) -> npt.NDArray[np.float32]:
    """float32 (h, w): px to the nearest pixel of `mask`, infinite where it has none.

    The last bit of what OpenCV's precise transform gives changes with the place of an array in memory, and a watershed
    of it with that.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    distance: npt.NDArray[np.float64] = ndimage.distance_transform_edt(~mask)
    return distance.astype(np.float32)


def image_files(folder: Path) -> list[Path]:
    """The image files of a folder, not of those inside it, by name; hidden files are left out."""
    return [file for file in sorted(folder.iterdir()) if _is_image(file, folder)]


def image_tree(folder: Path) -> list[Path]:
    """The image files of a folder and of all folders inside it, those that are links too, by path; hidden ones are left
    out."""
    return [file for file in sorted(walk_files(folder)[0]) if _is_image(file, folder)]


def _is_image(file: Path, folder: Path) -> bool:
    shown = not any(part.startswith(".") for part in file.relative_to(folder).parts)
    return shown and file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()


def read_image(path: Path, page: int | None = None) -> Pixels:
    """uint8 (h, w, 3) RGB, as `images.decode_image` says. Raises UserError."""
    return decode_image(read_bytes(path), str(path), page=page)
