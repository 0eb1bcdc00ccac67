"""Where a network is wrong on a real field, as a picture."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from smearsynth.fields.folder import Field
from smearsynth.fields.images import Mask

GLASS_AS_CELL, CELL_AS_GLASS = (230, 30, 30), (30, 60, 230)
"""RGB of the two errors: glass taken for a cell, and a cell for glass."""
_WIDTH = 1600
"""Pixels of a picture's longer side, at most."""


def error_picture(field: Field, found: Mask) -> npt.NDArray[np.uint8]:
    """u1 (h, w, 3): the field in faded grey, wrong pixels in colour, dark where nothing is counted.

    found: bool (h, w), what the network takes for a cell.
    """
    grey = field.image.mean(axis=2, keepdims=True)
    picture = np.repeat(128 + grey / 2, 3, axis=2)
    picture[~field.counted] *= 0.5
    picture[found & ~field.cells & field.counted] = GLASS_AS_CELL
    picture[field.cells & ~found & field.counted] = CELL_AS_GLASS
    return picture.astype(np.uint8)


def save_errors(field: Field, found: Mask, folder: Path) -> None:
    """Writes the picture as NAME.png into `folder`, shrunk to a width that a screen shows."""
    picture = Image.fromarray(error_picture(field, found))
    picture.thumbnail((_WIDTH, _WIDTH), Image.Resampling.BOX)
    picture.save(folder / f"{field.path.stem}.png")
