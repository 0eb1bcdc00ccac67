"""Drawn MAMIC, Giemsa smears without masks: hand-cut crops by class, and whole fields with a CSV of boxes."""

from collections.abc import Iterator

from smearsynth.phantoms import platelets, red_cells
from smearsynth.phantoms.camera import Picture, photograph
from smearsynth.phantoms.dice import Dice
from smearsynth.phantoms.field import Draw, Field, box_of
from smearsynth.phantoms.slide import Slide

UM_PER_PX = 0.14
GLASS = (232, 226, 224)
FOLDERS: dict[str, tuple[Draw, int]] = {
    "thrombocytes": (platelets.thrombocyte, 24),
    "platelet_clumps": (platelets.platelet_clump, 16),
    "infected_rbc": (red_cells.infected_rbc, 12),
    "healthy_rbc": (red_cells.healthy_rbc, 16),
}
"""Folder -> how to draw, number of crops."""
HEIGHT, WIDTH = 300, 400
ON_FIELD: dict[str, tuple[Draw, int]] = {
    "platelet_clump": (platelets.platelet_clump, 1),
    "thrombocyte": (platelets.thrombocyte, 3),
    "infected_rbc": (red_cells.infected_rbc, 3),
    "healthy_rbc": (red_cells.healthy_rbc, 14),
}
"""Class -> how to draw, number of boxed cells of a field."""
FIELDS = 2


def draw_mamic(seed: int) -> Iterator[tuple[str, Picture | str]]:
    """Paths and pictures u1 (h, w, 3); `boxes.csv` is text."""
    for folder, (draw, number) in FOLDERS.items():
        for i in range(1, number + 1):
            yield f"{folder}/{folder}_{i:03d}.png", _crop(Dice(seed, "mamic", folder, i), draw)
    rows = ["file,class,x,y,width,height"]
    for i in range(1, FIELDS + 1):
        name = f"field_{i}.png"
        picture, boxes = _field(Dice(seed, "mamic", "field", i))
        yield name, picture
        rows += [",".join(map(str, (name, class_key, *box))) for class_key, box in boxes]
    yield "boxes.csv", "\n".join(rows) + "\n"


def _crop(dice: Dice, draw: Draw) -> Picture:
    slide = Slide.stained(dice, GLASS, drift=0.08)
    return photograph(dice, draw(dice, slide, UM_PER_PX).density, slide.glass, blur_px=0.8, noise=0.8)


def _field(dice: Dice) -> tuple[Picture, list[tuple[str, tuple[int, int, int, int]]]]:
    """A field and the boxes of its whole, isolated cells; more red cells are cut by the border or overlap."""
    slide = Slide.stained(dice, GLASS, drift=0.08)
    field, boxes = Field(HEIGHT, WIDTH), []
    for class_key, (draw, number) in ON_FIELD.items():
        for _ in range(number):
            drawing = draw(dice, slide, UM_PER_PX)
            placed = field.throw(dice, drawing, margin=drawing.radius_px + 4, room=1.25)
            if placed is not None:
                boxes.append((class_key, box_of(field.inside(placed))))
    field.crowd(dice, slide, red_cells.healthy_rbc, UM_PER_PX, number=10)
    return photograph(dice, field.density, slide.glass, blur_px=0.8, noise=0.8), boxes
