"""Reads every pair once, before anything is written: what is wrong with it, and what must be known of all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from segtrain.importing.colours import ColourReader
from segtrain.importing.in_order import in_order
from segtrain.importing.levels import Cells, LevelReader
from segtrain.importing.pairs import Pair
from segtrain.importing.palette import Palette
from segtrain.importing.patches import Size
from segtrain.importing.polarity import brightness_of_cells
from segtrain.importing.reading import Reader, Reading
from segtrain.importing.values import ValueReader
from smearsynth.errors import UserError
from smearsynth.fields.images import turned_apart
from smearsynth.images import Pixels, decode_image, decode_mask, read_bytes, sha256_of


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """What is known of a pair. faults: sentences; where there are some, the rest says nothing.

    size: of the image. pixels: i8 (256,), how many have each label. near, interpolated: as of a `Reading`.
    brightness: of what was taken for cells, over that of the rest, where it was asked for.
    """

    pair: Pair
    size: Size = (0, 0)
    pixels: npt.NDArray[np.int64]
    near: int = 0
    interpolated: bool = False
    brightness: float = 0.0
    image_sha256: str = ""
    mask_sha256: str = ""
    faults: tuple[str, ...] = ()


def reader_of(palette: Palette, cells: Cells) -> Reader:
    """What reads masks of this form. cells: the level of cells, where masks have two."""
    if palette.form == "levels":
        return LevelReader(cells)
    return ColourReader(palette) if palette.form == "colours" else ValueReader(palette)


def survey(pairs: Sequence[Pair], reader: Reader, *, ask_brightness: bool) -> Iterator[Surveyed]:
    """The pairs in their order."""
    return in_order(partial(_survey, reader=reader, ask_brightness=ask_brightness), pairs)


def read_image(pair: Pair) -> tuple[Pixels, str]:
    """u1 (h, w, 3) RGB, and the sha256 of the file. Raises UserError."""
    data = read_bytes(pair.image)
    return decode_image(data, str(pair.image)), sha256_of(data)


def read_label(pair: Pair, reader: Reader) -> tuple[Reading, str]:
    """The mask, and the sha256 of its file. Raises UserError where it cannot be decoded."""
    data = read_bytes(pair.mask)
    return reader.read(decode_mask(data, str(pair.mask))), sha256_of(data)


def _survey(pair: Pair, *, reader: Reader, ask_brightness: bool) -> Surveyed:
    faults, pixels = [], np.zeros(256, np.int64)
    try:
        image, image_sha256 = read_image(pair)
    except UserError as error:
        faults.append(str(error))
    try:
        reading, mask_sha256 = read_label(pair, reader)
        faults += [f"{pair.mask}: {fault}." for fault in reading.faults]
    except UserError as error:
        faults.append(str(error))
    if faults:
        return Surveyed(pair=pair, pixels=pixels, faults=tuple(faults))
    label = reading.label
    if fault := turned_apart(pair.image, pair.mask):
        return Surveyed(pair=pair, pixels=pixels, faults=(fault,))
    if label.shape != image.shape[:2]:
        fault = f"{pair.mask}: the mask is {_size(label)} px, its image {pair.name} {_size(image)}; give that image's."
        return Surveyed(pair=pair, pixels=pixels, faults=(fault,))
    return Surveyed(
        pair=pair,
        size=label.shape,
        pixels=np.bincount(label.ravel(), minlength=256),
        near=reading.near,
        interpolated=reading.interpolated,
        brightness=brightness_of_cells(image, label) if ask_brightness else 0.0,
        image_sha256=image_sha256,
        mask_sha256=mask_sha256,
    )


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
