"""Drawn LISC: fields of one or two white cells among red cells, with class-coded masks that are 4 px smaller."""

from collections.abc import Iterator

import numpy as np

from smearsynth.phantoms import red_cells, white_cells
from smearsynth.phantoms.camera import Picture, photograph
from smearsynth.phantoms.dice import Dice
from smearsynth.phantoms.drawing import Drawing
from smearsynth.phantoms.field import Draw, Field, Placed
from smearsynth.phantoms.slide import Slide

HEIGHT, WIDTH = 144, 180
"""A quarter of the native 576x720 px: BMP is not compressed."""
UM_PER_PX = 0.20
RIM = 4
"""Pixels by which the masks are smaller than the images, on every side."""
GAP = 6
"""Least distance of white cells from each other, px."""
GLASS = (226, 214, 212)

FOLDERS: dict[str, tuple[Draw, int, tuple[int, int]]] = {
    "Baso": (white_cells.basophil, 12, (50, 50)),
    "eosi": (white_cells.eosinophil, 3, (75, 100)),
    "lymp": (white_cells.lymphocyte, 3, (125, 150)),
    "mono": (white_cells.monocyte, 3, (175, 200)),
    "neut": (white_cells.neutrophil, 3, (225, 255)),
}
"""Folder -> how to draw, number of fields, greys of cytoplasm and nucleus in the mask."""
PAIRS = {("lymp", 3)}
"""Fields with two white cells."""
WITHOUT_MASK: list[tuple[str, int, list[Draw]]] = [
    ("eosi", 4, [white_cells.eosinophil]),
    ("mixt", 1, [white_cells.lymphocyte, white_cells.neutrophil]),
]
"""Further fields: folder, number, white cells."""


def draw_lisc(seed: int) -> Iterator[tuple[str, Picture]]:
    """Paths and pictures: fields u1 (144, 180, 3), masks u1 (136, 172)."""
    for folder, (draw, number, greys) in FOLDERS.items():
        for i in range(1, number + 1):
            draws = [draw, draw] if (folder, i) in PAIRS else [draw]
            picture, mask = _field(Dice(seed, "lisc", folder, i), draws, greys)
            yield f"LISC Database/Main Dataset/{folder}/{i}.bmp", picture
            yield f"LISC Database/Ground Truth Segmentation/{folder}/areaforexpert1/{i}_expert.bmp", mask
    for folder, number, draws in WITHOUT_MASK:
        picture, _ = _field(Dice(seed, "lisc", folder, number), draws, greys=(0, 0))
        yield f"LISC Database/Main Dataset/{folder}/{number}.bmp", picture


def _field(dice: Dice, draws: list[Draw], greys: tuple[int, int]) -> tuple[Picture, Picture]:
    slide = Slide.stained(dice, GLASS, drift=0.08)
    field, mask = Field(HEIGHT, WIDTH), np.zeros((HEIGHT, WIDTH), np.uint8)
    for placed in _side_by_side(dice, field, [draw(dice, slide, UM_PER_PX) for draw in draws]):
        cell, nucleus = field.inside(placed), field.nucleus(placed)
        mask[cell], mask[nucleus] = greys
    field.crowd(dice, slide, red_cells.healthy_rbc, UM_PER_PX, number=14)
    picture = photograph(dice, field.density, slide.glass, blur_px=0.7, noise=1.2)
    return picture, mask[RIM:-RIM, RIM:-RIM]


def _side_by_side(dice: Dice, field: Field, cells: list[Drawing]) -> list[Placed]:
    """The cells from left to right, whole and apart, the free width left and right of them by chance."""
    radii = [cell.radius_px + GAP / 2 for cell in cells]
    x = RIM + dice.between(0.0, max(0.0, WIDTH - 2 * RIM - 2 * sum(radii)))
    placed = []
    for cell, radius in zip(cells, radii, strict=True):
        y = dice.between(RIM + radius, HEIGHT - RIM - radius)
        placed.append(field.put(cell, round(x + radius), round(y), room=1.05))
        x += 2 * radius
    return placed
