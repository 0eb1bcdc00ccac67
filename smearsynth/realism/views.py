"""The images that are compared, at one scale: smears of a dataset and pieces of real fields of their size.

Both are taken evenly from all there are and read one at a time.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from smearsynth.base.errors import UserError
from smearsynth.base.images import FORMATS, Pixels
from smearsynth.dataset.layout import shards
from smearsynth.fields.field_folder import (
    IMAGES,
    MASKS,
    Mask,
    distance_to,
    image_and_mask_files,
    image_tree,
    is_folder,
    read_field_mask,
    read_image,
    refuse_negative,
)
from smearsynth.fields.otsu import Regions, cells_and_nuclei, find_regions
from smearsynth.fields.scale import Scale, to_scale
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import IGNORE, UM_PER_PX

LEAST_SIDE = 64
"""Pixels a side that an image needs: a window of the power spectrum, 12.8 um, nearly two red cells."""
MARGIN = 3
"""Pixels (0.6 um) on either side of an outline that belong to neither cell nor glass: masks of different origin differ
by about one, and edges are measured apart."""
RED_CELL_UM = (5.0, 10.0)
"""Diameters between which a single cell is taken for a red one."""
_LEAST_MORE = 0.1
"""Share of a piece by which a field must exceed so many pieces to be cut into one more, overlapping."""
Window = tuple[slice, slice]
"""Rows and columns."""
T = TypeVar("T")


@dataclass
class View:
    """image: uint8 (h, w, 3) RGB at 0.20 um/px. cells: bool (h, w). dark: bool (h, w), what Otsu's threshold takes for
    cells. origin: number of the image it was cut from."""

    image: Pixels
    cells: Mask
    dark: Mask
    origin: int

    def piece(self, box: Window) -> "View":
        """The view of a part of it."""
        return View(self.image[box].copy(), self.cells[box].copy(), self.dark[box].copy(), self.origin)

    @cached_property
    def lab(self) -> npt.NDArray[np.float32]:
        """float32 (h, w, 3): CIE L*a*b* (D65), L* from 0 to 100."""
        return cv2.cvtColor(self.image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)

    @cached_property
    def lightness(self) -> npt.NDArray[np.float32]:
        """float32 (h, w): L*."""
        return np.ascontiguousarray(self.lab[..., 0])

    @cached_property
    def depth(self) -> npt.NDArray[np.float32]:
        """float32 (h, w): px from the outline of the cells, inside > 0, on glass < 0; of a border pixel 0.5."""
        return np.where(self.cells, distance_to(~self.cells) - 0.5, 0.5 - distance_to(self.cells))

    @cached_property
    def inner(self) -> Mask:
        """bool (h, w): surely of a cell."""
        return self.depth > MARGIN

    @cached_property
    def glass(self) -> Mask:
        """bool (h, w): surely no cell, nor debris, nor a cell that no mask has."""
        size = 2 * MARGIN + 1
        near = cv2.dilate(self.dark.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        return (self.depth < -MARGIN) & (near == 0)

    @cached_property
    def regions(self) -> Regions:
        return find_regions(self.cells)

    @cached_property
    def diameter(self) -> npt.NDArray[np.float64]:
        """float64 (n,): diameter of the disc with a region's area, um."""
        return 2 * UM_PER_PX * np.sqrt(self.regions.area / np.pi)

    @cached_property
    def red(self) -> Mask:
        """bool (n,): regions that are a single cell of a red cell's size."""
        return self.regions.single & (self.diameter > RED_CELL_UM[0]) & (self.diameter < RED_CELL_UM[1])


@dataclass(frozen=True)
class Smears:
    """Rows of one look. look: its name. size: height and width, px. rows: file and row of each smear taken."""

    look: str
    size: tuple[int, int]
    rows: list[tuple[ShardReader, int]]

    def __len__(self) -> int:
        return len(self.rows)

    def views(self, *, by_label: bool) -> Iterator[View]:
        """by_label: cells are what the label says, else what Otsu finds."""
        for number, (reader, row) in enumerate(self.rows):
            image = reader.read("image", row).view(np.uint8)
            label, dark = reader.read("label", row), cells_and_nuclei(image)
            cells = _without_gaps((label != 0) & (label != IGNORE)) if by_label else dark
            yield View(image, cells, dark, number)


def take_smears(dataset: Path, look: str | None, samples: int) -> Smears:
    """At most `samples` smears. look: None is the first. Raises UserError: no dataset, no such look, damaged."""
    files = shards(dataset)
    if not files:
        raise UserError(f"{dataset}: holds no shards, so there is no smear to measure; build the dataset first.")
    readers = [ShardReader(file) for file in files]
    looks = readers[0].header.looks
    if look is not None and look not in looks:
        near = get_close_matches(look, looks, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"{dataset}: has no look {look}, it has {', '.join(looks)}{hint}")
    chosen = looks.index(look) if look else 0
    rows = [(reader, int(row)) for reader in readers for row in np.flatnonzero(reader.column("look") == chosen)]
    if not rows:
        raise UserError(f"{dataset}: holds no smear of the look {looks[chosen]}; build the dataset again.")
    h, w = rows[0][0].read("label", rows[0][1]).shape
    if min(h, w) < LEAST_SIDE:
        raise UserError(
            f"{dataset}: its smears have {w}x{h} px, and fidelity needs {LEAST_SIDE} px a side; build larger ones."
        )
    taken = np.linspace(0, len(rows) - 1, min(samples, len(rows))).astype(int)
    return Smears(looks[chosen], (h, w), [rows[i] for i in taken])


@dataclass(frozen=True)
class Reals:
    """Real images. files: image and its mask, None where cells are what Otsu's threshold finds. um_per_px: of each."""

    files: list[tuple[Path, Path | None]]
    um_per_px: list[float]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def masked(self) -> bool:
        return self.files[0][1] is not None

    def views(self, size: tuple[int, int]) -> Iterator[list[View]]:
        """Per image, its pieces of `size` (h, w): they cover it evenly and overlap where they must; a smaller image is
        one piece. Raises UserError for an image that is damaged or too small."""
        for number, ((file, mask), um_per_px) in enumerate(zip(self.files, self.um_per_px, strict=True)):
            image = read_image(file)
            native = None if mask is None else read_field_mask(mask, image.shape)
            if mask is not None and native is not None:
                refuse_negative(mask, image, native)
            image = to_scale(image, um_per_px)
            if min(image.shape[:2]) < LEAST_SIDE:
                raise UserError(
                    f"{file}: {image.shape[1]}x{image.shape[0]} px at {UM_PER_PX:.2f} um/px, and fidelity needs "
                    f"{LEAST_SIDE} px a side; leave it out, or check its scale",
                    "um_per_px",
                )
            dark = cells_and_nuclei(image)
            cells = dark
            if native is not None:
                scaled = to_scale(native.astype(np.uint8) * np.uint8(255), um_per_px) >= 128
                cells = _with_cut_cells(_without_gaps(scaled), dark)
            rows, columns = (starts(side, piece) for side, piece in zip(cells.shape, size, strict=True))
            whole = View(image, cells, dark, number)
            yield [whole.piece(np.s_[y : y + size[0], x : x + size[1]]) for y in rows for x in columns]


def take_reals(folder: Path, um_per_px: str, samples: int, *, progress: bool) -> Reals:
    """At most `samples` images of a folder, evenly taken: of img/ with mask/ where both are there, else all images in
    it and below. Raises UserError: no folder, no image, a mask missing, no scale."""
    scale = Scale(um_per_px)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name a folder of real images", "against")
    files: list[tuple[Path, Path | None]] = (
        list(image_and_mask_files(folder)) if is_folder(folder) else [(file, None) for file in image_tree(folder)]
    )
    if not files:
        raise UserError(
            f"{folder}: holds no image; put {', '.join(FORMATS)} files there, or {IMAGES}/ and {MASKS}/ with masks."
        )
    files = [files[i] for i in np.linspace(0, len(files) - 1, min(samples, len(files))).astype(int)]
    return Reals(files, scale.of_folder([file for file, _ in files], progress=progress))


def starts(side: int, piece: int) -> list[int]:
    """Where pieces begin that cover `side` px evenly: [0] where one is enough."""
    count = max(1, math.ceil(side / piece - _LEAST_MORE))
    last = max(side - piece, 0)
    return np.linspace(0, last, count).astype(int).tolist() if count > 1 else [last // 2]


def _with_cut_cells(cells: Mask, dark: Mask) -> Mask:
    """The mask with the dark regions at the border that it does not touch: cells cut by the border, which annotators
    leave out."""
    count, label = cv2.connectedComponents(dark.astype(np.uint8), connectivity=4)
    left_out = np.zeros(count, bool)
    left_out[np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])] = True
    left_out[label[cells]] = False
    left_out[0] = False
    return cells | left_out[label]


def _without_gaps(cells: Mask) -> Mask:
    """bool (h, w): gaps of a pixel or two closed, which some annotators leave between touching cells and others not."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cv2.morphologyEx(cells.astype(np.uint8), cv2.MORPH_CLOSE, cross).astype(bool)


class EvenlyKept(Generic[T]):
    """Of any number of things that are offered, `wanted` or all, spread evenly; at most twice that are held."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._kept: list[T] = []
        self._seen = 0
        self._stride = 1

    def offer(self, thing: T) -> None:
        if self._seen % self._stride == 0:
            self._kept.append(thing)
            if len(self._kept) == 2 * self._wanted:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._seen += 1

    def chosen(self) -> list[T]:
        """At most `wanted`."""
        count = len(self._kept)
        return [self._kept[i] for i in np.linspace(0, count - 1, min(count, self._wanted)).astype(int)]


def same_size(*sets: Sequence[Pixels]) -> list[list[Pixels]]:
    """The middle of each picture, as large as the smallest height and width among all."""
    shapes = [picture.shape for pictures in sets for picture in pictures]
    h, w = (min(sides) for sides in list(zip(*shapes, strict=True))[:2])

    def middle(picture: Pixels) -> Pixels:
        y, x = (picture.shape[0] - h) // 2, (picture.shape[1] - w) // 2
        return picture[y : y + h, x : x + w]

    return [[middle(picture) for picture in pictures] for pictures in sets]
