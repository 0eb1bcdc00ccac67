"""Drawn Kaggle (NIH): single red cells cut out on pure black, from patients who have infected and healthy ones."""

from collections.abc import Iterator

import numpy as np

from smearsynth.phantoms import red_cells
from smearsynth.phantoms.camera import Picture, photograph
from smearsynth.phantoms.dice import Dice
from smearsynth.phantoms.field import Draw, box_of
from smearsynth.phantoms.slide import Slide

UM_PER_PX = 0.08
GLASS = (216, 196, 188)
RIM_UM = 0.08
"""How far the segmentation cut outside the cell: a pale line of glass is left."""
PATIENTS = 20
FOLDERS: dict[str, tuple[Draw, int]] = {
    "Parasitized": (red_cells.infected_rbc, 2),
    "Uninfected": (red_cells.healthy_rbc, 3),
}
"""Folder -> how to draw, number of cells of each patient."""


def draw_kaggle(seed: int) -> Iterator[tuple[str, Picture]]:
    """Paths and pictures u1 (h, w, 3), about 100 px a side, 0 outside the cell."""
    for i in range(PATIENTS):
        slide_dice = Dice(seed, "kaggle", "slide", i)
        slide = Slide.stained(slide_dice, GLASS, drift=0.10, alkaline=0.9)
        day = f"2015{slide_dice.whole(6, 11):02d}{slide_dice.whole(1, 28):02d}"
        film = f"C{101 + i}P{62 + i}ThinF_IMG_{day}_14{i:02d}09"
        for folder, (draw, number) in FOLDERS.items():
            for j in range(number):
                dice = Dice(seed, "kaggle", folder, i, j)
                name = f"{film}_cell_{10 * j + dice.whole(1, 9) + 100 * (folder == 'Parasitized')}.png"
                yield f"cell_images/{folder}/{name}", _cut_out(dice, slide, draw)


def _cut_out(dice: Dice, slide: Slide, draw: Draw) -> Picture:
    drawing = draw(dice, slide, UM_PER_PX)
    picture = photograph(dice, drawing.density, slide.glass, blur_px=1.6, noise=0.6)
    kept = drawing.outline < RIM_UM
    x, y, width, height = box_of(kept)
    return np.where(kept[..., None], picture, 0).astype(np.uint8)[y : y + height, x : x + width]
