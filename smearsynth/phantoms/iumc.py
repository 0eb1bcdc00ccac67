"""Drawn IUMC: tight crops of single white cells with the expert's outline burned in as red; no basophils."""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from smearsynth.phantoms import red_cells, white_cells
from smearsynth.phantoms.camera import Picture, photograph
from smearsynth.phantoms.dice import Dice
from smearsynth.phantoms.field import Draw, Field, box_of
from smearsynth.phantoms.slide import Slide

UM_PER_PX = 0.17
GLASS = (196, 198, 190)
CLASSES: dict[str, Draw] = {
    "Eosinophil": white_cells.eosinophil,
    "Lymphocytes": white_cells.lymphocyte,
    "Monocytes": white_cells.monocyte,
    "Neutrophil": white_cells.neutrophil,
}
NUMBER = 10
"""Good cells of each class."""
PAINTED = 2
"""Further neutrophils whose nucleus was painted over in black."""


def draw_iumc(seed: int) -> Iterator[tuple[str, Picture]]:
    """Paths and pictures u1 (h, w, 3), 50 to 130 px a side; the painted neutrophils come last."""
    for name, draw in CLASSES.items():
        for i in range(1, NUMBER + 1):
            yield f"{name}_{i}.bmp", _crop(Dice(seed, "iumc", name, i), draw, painted=False)
    for i in range(NUMBER + 1, NUMBER + PAINTED + 1):
        yield (
            f"Neutrophil_{i}.bmp",
            _crop(Dice(seed, "iumc", "Neutrophil", i), white_cells.neutrophil, painted=True),
        )


def _crop(dice: Dice, draw: Draw, painted: bool) -> Picture:
    """The cell's box and one more row and column; so the outline touches the border on two sides."""
    slide = Slide.stained(dice, GLASS, drift=0.10)
    drawing = draw(dice, slide, UM_PER_PX)
    side = drawing.outline.shape[0]
    field = Field(side, side)
    cell = field.inside(field.put(drawing, side // 2, side // 2, room=1.02))
    field.crowd(dice, slide, red_cells.healthy_rbc, UM_PER_PX, number=5)
    picture = photograph(dice, field.density, slide.glass, blur_px=0.9, noise=1.2)
    if painted:
        picture[drawing.nucleus < 0] = 0
    picture[cell & ~ndimage.binary_erosion(cell)] = (255, 0, 0)
    x, y, width, height = box_of(cell)
    return np.ascontiguousarray(picture[y : y + height + 1, x : x + width + 1])
