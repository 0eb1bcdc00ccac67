"""Masks in which every cell has a number of its own, as cellpose and StarDist write them, or a file, as in DSB2018.

`X_cp_masks.*` and `X_masks.*` belong to the image X beside them; `masks/X.*` to `images/X.*`; and all files of
`X/masks/` are one cell each where `X/images/` holds one image. Any number is a cell, 0 is none; numbers may have gaps.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from smearsynth.base.errors import UserError
from smearsynth.base.images import decode_ids, read_bytes
from smearsynth.base.tables import locate
from smearsynth.fields.annotation_rows import NO_CLASS, AnnotationRow
from smearsynth.fields.cell_outlines import Raster

Ids = npt.NDArray[np.int32]
"""int32 (h, w): 0 = no cell, else 1 to n without gaps."""

_ENDING = r"_(?:cp_)?masks$"
_MASK_FOLDERS, _IMAGE_FOLDERS = ("mask", "masks"), ("img", "image", "images")


def find_masks(images: Collection[str]) -> dict[str, tuple[str, bool]]:
    """The masks among images, by their names: mask -> its image, and whether all of it is one cell. Paths have forward
    slashes."""
    by_stem: defaultdict[str, list[str]] = defaultdict(list)
    in_folder: defaultdict[str, list[str]] = defaultdict(list)
    for path in images:
        by_stem[_stem(path)].append(path)
        in_folder[str(PurePosixPath(path.casefold()).parent)].append(path)
    found: dict[str, tuple[str, bool]] = {}
    for mask in images:
        place = PurePosixPath(mask.casefold())
        stem = re.sub(_ENDING, "", _stem(mask))
        if stem != _stem(mask):
            fits = by_stem[stem] or by_stem[f"{stem}_img"]
        elif place.parent.name in _MASK_FOLDERS:
            folders = [place.parent.with_name(name) for name in _IMAGE_FOLDERS]
            fits = [one for folder in folders for one in by_stem[str(folder / place.stem)]]
            alone = [in_folder[str(folder)] for folder in folders if in_folder[str(folder)]]
            if not fits and len(alone) == 1 and len(alone[0]) == 1:
                found[mask] = alone[0][0], True
        else:
            fits = []
        if len(fits) == 1:
            found[mask] = fits[0], False
    return {mask: of for mask, of in found.items() if of[0] not in found}


def _stem(path: str) -> str:
    return str(PurePosixPath(path.casefold()).with_suffix(""))


def read_instances(root: Path, mask: str, image: str, *, one_cell: bool) -> Iterator[AnnotationRow]:
    """The cells of a mask of `find_masks`. Raises UserError."""
    file = locate(root, mask)
    ids = decode_ids(read_bytes(file), str(root / mask))
    yield AnnotationRow(str(root / mask), image, size=(ids.shape[0], ids.shape[1]))
    dense, numbers = without_gaps(ids > 0 if one_cell else ids, str(root / mask), one_cell=one_cell)
    for number, window in enumerate(ndimage.find_objects(dense)):
        outline = Raster.of(dense[window] == number + 1, window[1].start, window[0].start)
        where = str(root / mask) if one_cell else f"{root / mask}, number {numbers[number]}"
        yield AnnotationRow(where, image, NO_CLASS, outline.bounds, outline=outline)


def without_gaps(ids: npt.NDArray[np.generic], name: str, *, one_cell: bool = False) -> tuple[Ids, list[int]]:
    """The cells of a mask, (h, w), numbered anew in the order of their numbers, and what these were. Raises UserError
    where one number stands in several places and there is no other, as in a mask that is black and white."""
    numbers, dense = np.unique(ids, return_inverse=True)
    dense = dense.reshape(ids.shape).astype(np.int32) + (numbers[0] != 0)
    found = numbers[numbers != 0]
    if len(found) == 1 and not one_cell and (pieces := ndimage.label(dense)[1]) > 1:
        raise UserError(
            f"{name}: {pieces} pieces have one number, {found[0]}, so its cells are not told apart; give each cell a "
            "number of its own, or import it as a mask of black and white"
        )
    return dense, [int(number) for number in found]
