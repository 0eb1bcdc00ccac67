"""Real fields at the scale of the smears, cut into pieces of their size."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from smearsynth.errors import UserError
from smearsynth.fidelity.spectrum import WINDOW
from smearsynth.fidelity.view import View, without_gaps
from smearsynth.fields.folder import IMAGES, MASKS, image_and_mask_files, is_folder
from smearsynth.fields.images import Mask, image_tree, read_image, read_mask
from smearsynth.fields.otsu import cells_and_nuclei
from smearsynth.fields.scale import Scale, to_scale
from smearsynth.images import FORMATS
from smearsynth.taxonomy import UM_PER_PX

_LEAST_MORE = 0.1
"""Share of a piece by which a field must exceed so many pieces to be cut into one more, overlapping."""


@dataclass(frozen=True)
class Reals:
    """Real images. files: image and its mask, None where cells are told by Otsu. um_per_px: of each."""

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
            native = None if mask is None else read_mask(mask, image.shape)
            image = to_scale(image, um_per_px)
            if min(image.shape[:2]) < WINDOW:
                raise UserError(
                    f"{file}: {image.shape[1]}x{image.shape[0]} px at {UM_PER_PX:.2f} um/px, and fidelity needs "
                    f"{WINDOW} px a side; leave it out, or check --um-per-px."
                )
            dark = cells_and_nuclei(image)
            cells = dark if native is None else _with_cut_cells(_scaled(native, um_per_px), dark)
            rows, columns = (starts(side, piece) for side, piece in zip(cells.shape, size, strict=True))
            whole = View(image, cells, dark, number)
            yield [whole.piece(np.s_[y : y + size[0], x : x + size[1]]) for y in rows for x in columns]


def take_reals(folder: Path, um_per_px: str, samples: int, *, progress: bool) -> Reals:
    """At most `samples` images of a folder, evenly taken: of img/ with mask/ where both are there, else all images in
    it and below. Raises UserError: no folder, no image, a mask missing, no scale."""
    scale = Scale(um_per_px)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give --against a folder of real images.")
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
    return (
        np.linspace(0, max(side - piece, 0), count).astype(int).tolist() if count > 1 else [max(side - piece, 0) // 2]
    )


def _with_cut_cells(cells: Mask, dark: Mask) -> Mask:
    """The mask with the dark regions at the border that it does not touch: cells cut by the border, which annotators
    leave out."""
    count, label = cv2.connectedComponents(dark.astype(np.uint8), connectivity=4)
    left_out = np.zeros(count, bool)
    left_out[np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])] = True
    left_out[label[cells]] = False
    left_out[0] = False
    return cells | left_out[label]


def _scaled(cells: Mask, um_per_px: float) -> Mask:
    return without_gaps(to_scale(cells.astype(np.uint8) * np.uint8(255), um_per_px) >= 128)
