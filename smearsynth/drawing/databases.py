"""Drawn IUMC: tight crops of single white cells with the expert's outline burned in as red; no basophils.

Drawn Kaggle (NIH): single red cells cut out on pure black, from patients who have infected and healthy ones.

Drawn LISC: fields of one or two white cells among red cells, with class-coded masks that are 4 px smaller.

Drawn MAMIC, Giemsa smears without masks: hand-cut crops by class, and whole fields with a CSV of boxes.

Writes the drawn sources as their databases ship them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from smearsynth.base.errors import UserError
from smearsynth.drawing import drawn_cells
from smearsynth.drawing.shapes import Dice, Drawing
from smearsynth.drawing.slides import Draw, Field, Picture, Placed, Slide, box_of, photograph
from smearsynth.sources.listing import write_note

IUMC_UM_PER_PX = 0.17
IUMC_GLASS = (196, 198, 190)
CLASSES: dict[str, Draw] = {
    "Eosinophil": drawn_cells.eosinophil,
    "Lymphocytes": drawn_cells.lymphocyte,
    "Monocytes": drawn_cells.monocyte,
    "Neutrophil": drawn_cells.neutrophil,
}
NUMBER = 10
"""Good cells of each class."""
PAINTED = 2
"""Further neutrophils whose nucleus was painted over in black."""


def draw_iumc(seed: int) -> Iterator[tuple[str, Picture]]:
    """Paths and pictures u1 (h, w, 3), 50 to 130 px a side; the painted neutrophils come last."""
    for name, draw in CLASSES.items():
        for i in range(1, NUMBER + 1):
            yield f"{name}_{i}.bmp", _iumc_crop(Dice(seed, "iumc", name, i), draw, painted=False)
    for i in range(NUMBER + 1, NUMBER + PAINTED + 1):
        yield (
            f"Neutrophil_{i}.bmp",
            _iumc_crop(Dice(seed, "iumc", "Neutrophil", i), drawn_cells.neutrophil, painted=True),
        )


def _iumc_crop(dice: Dice, draw: Draw, painted: bool) -> Picture:
    """The cell's box and one more row and column; so the outline touches the border on two sides."""
    slide = Slide.stained(dice, IUMC_GLASS, drift=0.10)
    drawing = draw(dice, slide, IUMC_UM_PER_PX)
    side = drawing.outline.shape[0]
    field = Field(side, side)
    cell = field.inside(field.put(drawing, side // 2, side // 2, room=1.02))
    field.crowd(dice, slide, drawn_cells.healthy_rbc, IUMC_UM_PER_PX, number=5)
    picture = photograph(dice, field.density, slide.glass, blur_px=0.9, noise=1.2)
    if painted:
        picture[drawing.nucleus < 0] = 0
    picture[cell & ~ndimage.binary_erosion(cell)] = (255, 0, 0)
    x, y, width, height = box_of(cell)
    return np.ascontiguousarray(picture[y : y + height + 1, x : x + width + 1])


KAGGLE_UM_PER_PX = 0.08
KAGGLE_GLASS = (216, 196, 188)
RIM_UM = 0.08
"""How far the segmentation cut outside the cell: a pale line of glass is left."""
PATIENTS = 20
KAGGLE_FOLDERS: dict[str, tuple[Draw, int]] = {
    "Parasitized": (drawn_cells.infected_rbc, 2),
    "Uninfected": (drawn_cells.healthy_rbc, 3),
}
"""Folder -> how to draw, number of cells of each patient."""


def draw_kaggle(seed: int) -> Iterator[tuple[str, Picture]]:
    """Paths and pictures u1 (h, w, 3), about 100 px a side, 0 outside the cell."""
    for i in range(PATIENTS):
        slide_dice = Dice(seed, "kaggle", "slide", i)
        slide = Slide.stained(slide_dice, KAGGLE_GLASS, drift=0.10, alkaline=0.9)
        day = f"2015{slide_dice.whole(6, 11):02d}{slide_dice.whole(1, 28):02d}"
        film = f"C{101 + i}P{62 + i}ThinF_IMG_{day}_14{i:02d}09"
        for folder, (draw, number) in KAGGLE_FOLDERS.items():
            for j in range(number):
                dice = Dice(seed, "kaggle", folder, i, j)
                name = f"{film}_cell_{10 * j + dice.whole(1, 9) + 100 * (folder == 'Parasitized')}.png"
                yield f"cell_images/{folder}/{name}", _cut_out(dice, slide, draw)


def _cut_out(dice: Dice, slide: Slide, draw: Draw) -> Picture:
    drawing = draw(dice, slide, KAGGLE_UM_PER_PX)
    picture = photograph(dice, drawing.density, slide.glass, blur_px=1.6, noise=0.6)
    kept = drawing.outline < RIM_UM
    x, y, width, height = box_of(kept)
    return np.where(kept[..., None], picture, 0).astype(np.uint8)[y : y + height, x : x + width]


LISC_HEIGHT, LISC_WIDTH = 144, 180
"""A quarter of the native 576x720 px: BMP is not compressed."""
LISC_UM_PER_PX = 0.20
RIM = 4
"""Pixels by which the masks are smaller than the images, on every side."""
GAP = 6
"""Least distance of white cells from each other, px."""
LISC_GLASS = (226, 214, 212)

LISC_FOLDERS: dict[str, tuple[Draw, int, tuple[int, int]]] = {
    "Baso": (drawn_cells.basophil, 12, (50, 50)),
    "eosi": (drawn_cells.eosinophil, 3, (75, 100)),
    "lymp": (drawn_cells.lymphocyte, 3, (125, 150)),
    "mono": (drawn_cells.monocyte, 3, (175, 200)),
    "neut": (drawn_cells.neutrophil, 3, (225, 255)),
}
"""Folder -> how to draw, number of fields, greys of cytoplasm and nucleus in the mask."""
PAIRS = {("lymp", 3)}
"""Fields with two white cells."""
WITHOUT_MASK: list[tuple[str, int, list[Draw]]] = [
    ("eosi", 4, [drawn_cells.eosinophil]),
    ("mixt", 1, [drawn_cells.lymphocyte, drawn_cells.neutrophil]),
]
"""Further fields: folder, number, white cells."""


def draw_lisc(seed: int) -> Iterator[tuple[str, Picture]]:
    """Paths and pictures: fields u1 (144, 180, 3), masks u1 (136, 172)."""
    for folder, (draw, number, greys) in LISC_FOLDERS.items():
        for i in range(1, number + 1):
            draws = [draw, draw] if (folder, i) in PAIRS else [draw]
            picture, mask = _lisc_field(Dice(seed, "lisc", folder, i), draws, greys)
            yield f"LISC Database/Main Dataset/{folder}/{i}.bmp", picture
            yield f"LISC Database/Ground Truth Segmentation/{folder}/areaforexpert1/{i}_expert.bmp", mask
    for folder, number, draws in WITHOUT_MASK:
        picture, _ = _lisc_field(Dice(seed, "lisc", folder, number), draws, greys=(0, 0))
        yield f"LISC Database/Main Dataset/{folder}/{number}.bmp", picture


def _lisc_field(dice: Dice, draws: list[Draw], greys: tuple[int, int]) -> tuple[Picture, Picture]:
    slide = Slide.stained(dice, LISC_GLASS, drift=0.08)
    field, mask = Field(LISC_HEIGHT, LISC_WIDTH), np.zeros((LISC_HEIGHT, LISC_WIDTH), np.uint8)
    for placed in _side_by_side(dice, field, [draw(dice, slide, LISC_UM_PER_PX) for draw in draws]):
        cell, nucleus = field.inside(placed), field.nucleus(placed)
        mask[cell], mask[nucleus] = greys
    field.crowd(dice, slide, drawn_cells.healthy_rbc, LISC_UM_PER_PX, number=14)
    picture = photograph(dice, field.density, slide.glass, blur_px=0.7, noise=1.2)
    return picture, mask[RIM:-RIM, RIM:-RIM]


def _side_by_side(dice: Dice, field: Field, cells: list[Drawing]) -> list[Placed]:
    """The cells from left to right, whole and apart, the free width left and right of them by chance."""
    radii = [cell.radius_px + GAP / 2 for cell in cells]
    x = RIM + dice.between(0.0, max(0.0, LISC_WIDTH - 2 * RIM - 2 * sum(radii)))
    placed = []
    for cell, radius in zip(cells, radii, strict=True):
        y = dice.between(RIM + radius, LISC_HEIGHT - RIM - radius)
        placed.append(field.put(cell, round(x + radius), round(y), room=1.05))
        x += 2 * radius
    return placed


MAMIC_UM_PER_PX = 0.14
MAMIC_GLASS = (232, 226, 224)
MAMIC_FOLDERS: dict[str, tuple[Draw, int]] = {
    "thrombocytes": (drawn_cells.thrombocyte, 24),
    "platelet_clumps": (drawn_cells.platelet_clump, 16),
    "infected_rbc": (drawn_cells.infected_rbc, 12),
    "healthy_rbc": (drawn_cells.healthy_rbc, 16),
}
"""Folder -> how to draw, number of crops."""
MAMIC_HEIGHT, MAMIC_WIDTH = 300, 400
ON_FIELD: dict[str, tuple[Draw, int]] = {
    "platelet_clump": (drawn_cells.platelet_clump, 1),
    "thrombocyte": (drawn_cells.thrombocyte, 3),
    "infected_rbc": (drawn_cells.infected_rbc, 3),
    "healthy_rbc": (drawn_cells.healthy_rbc, 14),
}
"""Class -> how to draw, number of boxed cells of a field."""
FIELDS = 2


def draw_mamic(seed: int) -> Iterator[tuple[str, Picture | str]]:
    """Paths and pictures u1 (h, w, 3); `boxes.csv` is text."""
    for folder, (draw, number) in MAMIC_FOLDERS.items():
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
    slide = Slide.stained(dice, MAMIC_GLASS, drift=0.08)
    return photograph(dice, draw(dice, slide, MAMIC_UM_PER_PX).density, slide.glass, blur_px=0.8, noise=0.8)


def _field(dice: Dice) -> tuple[Picture, list[tuple[str, tuple[int, int, int, int]]]]:
    """A field and the boxes of its whole, isolated cells; more red cells are cut by the border or overlap."""
    slide = Slide.stained(dice, MAMIC_GLASS, drift=0.08)
    field, boxes = Field(MAMIC_HEIGHT, MAMIC_WIDTH), []
    for class_key, (draw, number) in ON_FIELD.items():
        for _ in range(number):
            drawing = draw(dice, slide, MAMIC_UM_PER_PX)
            placed = field.throw(dice, drawing, margin=drawing.radius_px + 4, room=1.25)
            if placed is not None:
                boxes.append((class_key, box_of(field.inside(placed))))
    field.crowd(dice, slide, drawn_cells.healthy_rbc, MAMIC_UM_PER_PX, number=10)
    return photograph(dice, field.density, slide.glass, blur_px=0.8, noise=0.8), boxes


SOURCES: dict[str, Callable[[int], Iterator[tuple[str, Picture | str]]]] = {
    "lisc": draw_lisc,
    "iumc": draw_iumc,
    "mamic": draw_mamic,
    "kaggle": draw_kaggle,
}
"""Folder of a source -> its files from a seed: path with forward slashes, and pixels or text."""


def write_sources(folder: Path, seed: int = 0) -> dict[str, int]:
    """Draw all four sources into `folder`, each in a folder of its own. Returns the files drawn per source, beside
    which a note says that they are drawn.

    The same seed writes the same bytes under the same versions of numpy and Pillow. Raises UserError, before
    anything is written, where one of the four folders is already there.
    """
    for name in SOURCES:
        if (folder / name).exists():
            raise UserError(f"{folder / name}: already there; remove it or name another folder")
    written = {name: _write(folder / name, draw(seed)) for name, draw in SOURCES.items()}
    for name in SOURCES:
        write_note(folder / name, seed)
    return written


def _write(root: Path, files: Iterator[tuple[str, Picture | str]]) -> int:
    number = 0
    for path, content in files:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            target.write_text(content, encoding="utf-8", newline="\n")
        else:
            Image.fromarray(content).save(target, compress_level=9)
        number += 1
    return number
