"""The drawn sources, written as their databases ship them.

LISC: fields of one or two white cells among red cells, with class-coded masks that are 4 px smaller. IUMC: tight crops
of single white cells with the expert's outline burned in as red; no basophils. MAMIC, Giemsa smears without masks:
hand-cut crops by class, and whole fields with a CSV of boxes. Kaggle (NIH): single red cells cut out on pure black, of
patients who have infected and healthy ones.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from smearsynth.base.errors import UserError
from smearsynth.drawing import drawn_cells
from smearsynth.drawing.shapes import Drawing, KeyedRandom
from smearsynth.drawing.slides import Draw, FieldOfView, Laboratory, Pixels, PlacedDrawing, Slide, box_of
from smearsynth.sources.listing import write_note

_LISC = Laboratory(um_per_px=0.20, glass=(226, 214, 212), drift=0.08, blur_px=0.7, noise=1.2)
_IUMC = Laboratory(um_per_px=0.17, glass=(196, 198, 190), drift=0.10, blur_px=0.9, noise=1.2)
_MAMIC = Laboratory(um_per_px=0.14, glass=(232, 226, 224), drift=0.08, blur_px=0.8, noise=0.8)
_KAGGLE = Laboratory(um_per_px=0.08, glass=(216, 196, 188), drift=0.10, alkaline=0.9, blur_px=1.6, noise=0.6)


def phantoms(folder: str | Path, seed: int = 0) -> dict[str, int]:
    """Draws all four sources into `folder`, each in a folder of its own with a note that says so. Returns the number of
    files drawn per source.

    The same `seed` writes the same bytes under the same versions of numpy and Pillow. Raises UserError, before
    anything is written, where one of the four folders is already there.

    >>> list(smearsynth.phantoms("drawn"))
    ['lisc', 'iumc', 'mamic', 'kaggle']
    """
    folder = Path(folder)
    for name in SOURCES:
        if (folder / name).exists():
            raise UserError(f"{folder / name}: already there; remove it or name another folder")
    written = {name: _write(folder / name, draw(seed)) for name, draw in SOURCES.items()}
    for name in SOURCES:
        write_note(folder / name, seed)
    return written


def _write(root: Path, files: Iterator[tuple[str, Pixels | str]]) -> int:
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


def draw_lisc(seed: int) -> Iterator[tuple[str, Pixels]]:
    """Paths and pixels: fields uint8 (144, 180, 3), masks uint8 (136, 172)."""
    # Folder, how to draw, number of fields, greys of cytoplasm and nucleus in the mask.
    folders: list[tuple[str, Draw, int, tuple[int, int]]] = [
        ("Baso", drawn_cells.basophil, 12, (50, 50)),
        ("eosi", drawn_cells.eosinophil, 3, (75, 100)),
        ("lymp", drawn_cells.lymphocyte, 3, (125, 150)),
        ("mono", drawn_cells.monocyte, 3, (175, 200)),
        ("neut", drawn_cells.neutrophil, 3, (225, 255)),
    ]
    # Further fields, without a mask: folder, number, white cells.
    unmasked: list[tuple[str, int, list[Draw]]] = [
        ("eosi", 4, [drawn_cells.eosinophil]),
        ("mixt", 1, [drawn_cells.lymphocyte, drawn_cells.neutrophil]),
    ]
    for folder, draw, number, greys in folders:
        for i in range(1, number + 1):
            draws = [draw, draw] if (folder, i) == ("lymp", 3) else [draw]
            field, mask = _lisc_field(KeyedRandom(seed, "lisc", folder, i), draws, greys)
            yield f"LISC Database/Main Dataset/{folder}/{i}.bmp", field
            yield f"LISC Database/Ground Truth Segmentation/{folder}/areaforexpert1/{i}_expert.bmp", mask
    for folder, i, draws in unmasked:
        field, _ = _lisc_field(KeyedRandom(seed, "lisc", folder, i), draws, greys=(0, 0))
        yield f"LISC Database/Main Dataset/{folder}/{i}.bmp", field


_LISC_SIZE = 144, 180
"""A quarter of the native 576x720 px: BMP is not compressed."""
_LISC_RIM = 4
"""Pixels by which the masks are smaller than the images, on every side."""


def _lisc_field(rng: KeyedRandom, draws: list[Draw], greys: tuple[int, int]) -> tuple[Pixels, Pixels]:
    slide = _LISC.slide(rng)
    field, mask = FieldOfView(*_LISC_SIZE), np.zeros(_LISC_SIZE, np.uint8)
    for placed in _side_by_side(rng, field, [draw(rng, slide, _LISC.um_per_px) for draw in draws]):
        cell, nucleus = field.inside(placed), field.nucleus(placed)
        mask[cell], mask[nucleus] = greys
    field.fill(rng, slide, drawn_cells.healthy_rbc, _LISC.um_per_px, number=14)
    return _LISC.photograph(rng, field.density, slide), mask[_LISC_RIM:-_LISC_RIM, _LISC_RIM:-_LISC_RIM]


def _side_by_side(rng: KeyedRandom, field: FieldOfView, cells: list[Drawing]) -> list[PlacedDrawing]:
    """The cells from left to right, whole and at least 6 px apart, the free width left and right of them by chance."""
    height, width = _LISC_SIZE
    radii = [cell.radius_px + 3 for cell in cells]
    x = _LISC_RIM + rng.uniform(0.0, max(0.0, width - 2 * _LISC_RIM - 2 * sum(radii)))
    placed = []
    for cell, radius in zip(cells, radii, strict=True):
        y = rng.uniform(_LISC_RIM + radius, height - _LISC_RIM - radius)
        placed.append(field.put(cell, round(x + radius), round(y), clearance=1.05))
        x += 2 * radius
    return placed


def draw_iumc(seed: int) -> Iterator[tuple[str, Pixels]]:
    """Paths and pixels uint8 (h, w, 3), 50 to 130 px a side: ten good cells of each class; last two more neutrophils
    whose nucleus was painted over in black."""
    classes: dict[str, Draw] = {
        "Eosinophil": drawn_cells.eosinophil,
        "Lymphocytes": drawn_cells.lymphocyte,
        "Monocytes": drawn_cells.monocyte,
        "Neutrophil": drawn_cells.neutrophil,
    }
    cells = [(name, i, False) for name in classes for i in range(1, 11)]
    for name, i, painted in [*cells, ("Neutrophil", 11, True), ("Neutrophil", 12, True)]:
        yield f"{name}_{i}.bmp", _iumc_crop(KeyedRandom(seed, "iumc", name, i), classes[name], painted)


def _iumc_crop(rng: KeyedRandom, draw: Draw, painted: bool) -> Pixels:
    """The cell's box and one more row and column; so the outline touches the border on two sides."""
    slide = _IUMC.slide(rng)
    drawing = draw(rng, slide, _IUMC.um_per_px)
    side = drawing.outline.shape[0]
    field = FieldOfView(side, side)
    cell = field.inside(field.put(drawing, side // 2, side // 2, clearance=1.02))
    field.fill(rng, slide, drawn_cells.healthy_rbc, _IUMC.um_per_px, number=5)
    picture = _IUMC.photograph(rng, field.density, slide)
    if painted:
        picture[drawing.nucleus < 0] = 0
    picture[cell & ~ndimage.binary_erosion(cell)] = (255, 0, 0)
    x, y, width, height = box_of(cell)
    return np.ascontiguousarray(picture[y : y + height + 1, x : x + width + 1])


def draw_mamic(seed: int) -> Iterator[tuple[str, Pixels | str]]:
    """Paths and pixels uint8 (h, w, 3); `boxes.csv` is text."""
    # Folder, how to draw, number of crops.
    folders: list[tuple[str, Draw, int]] = [
        ("thrombocytes", drawn_cells.thrombocyte, 24),
        ("platelet_clumps", drawn_cells.platelet_clump, 16),
        ("infected_rbc", drawn_cells.infected_rbc, 12),
        ("healthy_rbc", drawn_cells.healthy_rbc, 16),
    ]
    for folder, draw, number in folders:
        for i in range(1, number + 1):
            rng = KeyedRandom(seed, "mamic", folder, i)
            slide = _MAMIC.slide(rng)
            crop = _MAMIC.photograph(rng, draw(rng, slide, _MAMIC.um_per_px).density, slide)
            yield f"{folder}/{folder}_{i:03d}.png", crop
    rows = ["file,class,x,y,width,height"]
    for i in (1, 2):
        name = f"field_{i}.png"
        picture, boxes = _mamic_field(KeyedRandom(seed, "mamic", "field", i))
        yield name, picture
        rows += [",".join(map(str, (name, class_key, *box))) for class_key, box in boxes]
    yield "boxes.csv", "\n".join(rows) + "\n"


def _mamic_field(rng: KeyedRandom) -> tuple[Pixels, list[tuple[str, tuple[int, int, int, int]]]]:
    """A field and the boxes of its whole, isolated cells; more red cells are cut by the border or overlap."""
    # Class, how to draw, number of cells with a box.
    boxed: list[tuple[str, Draw, int]] = [
        ("platelet_clump", drawn_cells.platelet_clump, 1),
        ("thrombocyte", drawn_cells.thrombocyte, 3),
        ("infected_rbc", drawn_cells.infected_rbc, 3),
        ("healthy_rbc", drawn_cells.healthy_rbc, 14),
    ]
    slide = _MAMIC.slide(rng)
    field, boxes = FieldOfView(300, 400), []
    for class_key, draw, number in boxed:
        for _ in range(number):
            drawing = draw(rng, slide, _MAMIC.um_per_px)
            placed = field.put_anywhere(rng, drawing, margin=drawing.radius_px + 4, clearance=1.25)
            if placed is not None:
                boxes.append((class_key, box_of(field.inside(placed))))
    field.fill(rng, slide, drawn_cells.healthy_rbc, _MAMIC.um_per_px, number=10)
    return _MAMIC.photograph(rng, field.density, slide), boxes


def draw_kaggle(seed: int) -> Iterator[tuple[str, Pixels]]:
    """Paths and pixels uint8 (h, w, 3), about 100 px a side, 0 outside the cell; twenty patients."""
    # Folder, how to draw, number of cells of each patient, first number of a cell.
    folders: list[tuple[str, Draw, int, int]] = [
        ("Parasitized", drawn_cells.infected_rbc, 2, 100),
        ("Uninfected", drawn_cells.healthy_rbc, 3, 0),
    ]
    for patient in range(20):
        slide_rng = KeyedRandom(seed, "kaggle", "slide", patient)
        slide = _KAGGLE.slide(slide_rng)
        day = f"2015{slide_rng.integer(6, 11):02d}{slide_rng.integer(1, 28):02d}"
        film = f"C{101 + patient}P{62 + patient}ThinF_IMG_{day}_14{patient:02d}09"
        for folder, draw, number, first in folders:
            for j in range(number):
                rng = KeyedRandom(seed, "kaggle", folder, patient, j)
                name = f"{film}_cell_{10 * j + rng.integer(1, 9) + first}.png"
                yield f"cell_images/{folder}/{name}", _kaggle_cell(rng, slide, draw)


def _kaggle_cell(rng: KeyedRandom, slide: Slide, draw: Draw) -> Pixels:
    """Cut out 0.08 um outside the cell: a pale line of glass is left."""
    drawing = draw(rng, slide, _KAGGLE.um_per_px)
    picture = _KAGGLE.photograph(rng, drawing.density, slide)
    kept = drawing.outline < 0.08
    x, y, width, height = box_of(kept)
    return np.where(kept[..., None], picture, 0).astype(np.uint8)[y : y + height, x : x + width]


SOURCES: dict[str, Callable[[int], Iterator[tuple[str, Pixels | str]]]] = {
    "lisc": draw_lisc,
    "iumc": draw_iumc,
    "mamic": draw_mamic,
    "kaggle": draw_kaggle,
}
"""Folder of a source -> its files from a seed: path with forward slashes, and pixels or text."""
