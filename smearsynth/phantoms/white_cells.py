"""The five white cells, told apart as a haematologist does: by nucleus, granules, cytoplasm and size."""

import math

import numpy as np

from smearsynth.phantoms.dice import Dice, Floats
from smearsynth.phantoms.drawing import Drawing, coat, typical_area
from smearsynth.phantoms.geometry import (
    Plane,
    Point,
    blob,
    cut,
    disc,
    grains,
    inset,
    mottle,
    polar,
    scatter,
    strand,
    union,
)
from smearsynth.phantoms.slide import Slide


def eosinophil(dice: Dice, slide: Slide, um_per_px: float) -> Drawing:
    """Two lobes, the rest full of coarse orange-red granules."""
    plane, outline, radius = _cell(dice, "eosinophil", um_per_px, rough=0.025)
    density = _plasm(dice, plane, slide.dye("eosinophil_plasm"), outline, texture=0.10)
    centres = scatter(dice, 1.1 * radius, spacing=0.95)
    granule = grains(plane, centres, _radii(dice, len(centres), 0.40))
    shade = 0.85 + 0.12 * mottle(dice, plane, 2.5)[..., None]
    density = coat(density, slide.dye("eosinophil_granule") * shade, plane.cover(inset(granule, outline, 0.1)))
    nucleus = _lobes(dice, plane, radius, number=2 if dice.whole(0, 5) else 3, size=0.37)
    return _with_nucleus(dice, slide, plane, density, outline, nucleus, "chromatin")


def basophil(dice: Dice, slide: Slide, um_per_px: float) -> Drawing:
    """Dark blue-violet granules of unequal size strewn over a pale, folded nucleus."""
    plane, outline, radius = _cell(dice, "basophil", um_per_px, rough=0.03)
    density = _plasm(dice, plane, slide.dye("basophil_plasm"), outline, texture=0.15)
    nucleus = _lobes(dice, plane, radius, number=dice.whole(2, 3), size=0.42)
    drawing = _with_nucleus(dice, slide, plane, density, outline, nucleus, "young_chromatin")
    centres = scatter(dice, 1.05 * radius, spacing=dice.between(1.1, 1.4))
    granule = grains(plane, centres, _radii(dice, len(centres), dice.between(0.42, 0.52)))
    cover = plane.cover(inset(granule, outline, -0.1))
    density = coat(drawing.density, slide.dye("basophil_granule"), 0.95 * cover)
    return Drawing(plane, density, np.minimum(outline, np.where(cover > 0.5, granule, np.inf)), drawing.nucleus)


def neutrophil(dice: Dice, slide: Slide, um_per_px: float) -> Drawing:
    """Three to five dark lobes on thin bridges, in pale pink, finely granular cytoplasm."""
    plane, outline, radius = _cell(dice, "neutrophil", um_per_px, rough=0.035)
    density = _plasm(dice, plane, slide.dye("neutrophil_plasm"), outline, texture=0.06)
    centres = scatter(dice, radius, spacing=0.75)
    granule = grains(plane, centres, _radii(dice, len(centres), 0.16))
    density = coat(density, slide.dye("neutrophil_granule"), 0.6 * plane.cover(inset(granule, outline, 0.3)))
    nucleus = _lobes(dice, plane, radius, number=dice.whole(3, 5), size=0.245)
    return _with_nucleus(dice, slide, plane, density, outline, nucleus, "chromatin")


def lymphocyte(dice: Dice, slide: Slide, um_per_px: float) -> Drawing:
    """A round, dense nucleus that nearly fills the cell, and a thin blue rim, wider on one side."""
    plane, outline, radius = _cell(dice, "lymphocyte", um_per_px, rough=0.03)
    density = _plasm(dice, plane, slide.dye("lymphocyte_plasm"), outline, texture=0.12)
    share = dice.between(0.74, 0.88)
    aside = polar((0.95 - share) * radius * dice.between(0.3, 1.0), dice.angle())
    shifted = Plane(plane.x - aside[0], plane.y - aside[1], plane.um_per_px)
    nucleus = blob(dice, shifted, math.pi * (share * radius) ** 2, rough=0.03, waves=4)
    if dice.whole(0, 2) == 0:
        nucleus = cut(nucleus, disc(shifted, polar(1.15 * share * radius, dice.angle()), 0.3 * radius), 1.0)
    return _with_nucleus(dice, slide, plane, density, outline, nucleus, "chromatin")


def monocyte(dice: Dice, slide: Slide, um_per_px: float) -> Drawing:
    """The largest: a kidney or horseshoe of lacy chromatin in grey-blue cytoplasm with vacuoles."""
    plane, outline, radius = _cell(dice, "monocyte", um_per_px, rough=0.06)
    density = _plasm(dice, plane, slide.dye("monocyte_plasm"), outline, texture=0.12)
    for _ in range(dice.whole(5, 14)):
        vacuole = disc(plane, polar(radius * dice.between(0.45, 0.85), dice.angle()), dice.between(0.3, 0.75))
        density = coat(density, 0.25 * slide.dye("monocyte_plasm"), plane.cover(inset(vacuole, outline, 0.4)))
    nucleus = _kidney(dice, plane, radius)
    return _with_nucleus(dice, slide, plane, density, outline, nucleus, "young_chromatin")


def _cell(dice: Dice, class_key: str, um_per_px: float, rough: float) -> tuple[Plane, Floats, float]:
    """A plane that holds the cell, its outline, and the radius, um, of the disc of its area."""
    area = dice.near(typical_area(class_key), 0.12)
    radius = math.sqrt(area / math.pi)
    plane = Plane.square(1.5 * radius, um_per_px)
    return plane, blob(dice, plane.warped(dice, 0.12, 3.0), area, rough), radius


def _plasm(dice: Dice, plane: Plane, dye: Floats, outline: Floats, texture: float) -> Floats:
    fine = 1 + texture * mottle(dice, plane, 0.7) + 0.8 * texture * mottle(dice, plane, 3.0)
    return dye * (fine * plane.cover(outline))[..., None]


def _radii(dice: Dice, number: int, mean: float) -> Floats:
    return mean * (1 + 0.22 * dice.normals(number))


def _lobes(dice: Dice, plane: Plane, radius: float, number: int, size: float) -> Floats:
    """Lobes of about `size` cell radii, strung on a thin bridge along an arc."""
    plane = plane.warped(dice, 0.22, 2.8)
    arc, step = dice.angle(), (dice.between(1.9, 2.6) if number == 2 else dice.between(4.6, 5.4) / number)
    away = radius * (0.43 if number == 2 else 0.55)
    middles = [polar(away * dice.between(0.8, 1.1), arc + step * i) for i in range(number)]
    nucleus = strand(plane, middles, dice.between(0.25, 0.4))
    for i, (x, y) in enumerate(middles):
        length = 0.5 * size * radius * dice.between(0.2, 0.9)
        dx, dy = polar(length, arc + step * i + math.pi / 2 + dice.between(-0.9, 0.9))
        lobe: list[Point] = [(x - dx, y - dy), (x + dx, y + dy)]
        nucleus = union(nucleus, strand(plane, lobe, size * radius * dice.between(0.78, 1.0)), 0.5)
    return nucleus


def _kidney(dice: Dice, plane: Plane, radius: float) -> Floats:
    """A thick arc of a third to two thirds of a turn, its open side anywhere."""
    plane = plane.warped(dice, 0.3, 3.2)
    turn, bend = dice.angle(), dice.between(1.9, 4.0)
    away = radius * dice.between(0.38, 0.46)
    path = [polar(away, turn + bend * (i / 8 - 0.5)) for i in range(9)]
    body = strand(plane, path, radius * dice.between(0.30, 0.38))
    knob = disc(plane, path[dice.pick((0, -1))], radius * dice.between(0.34, 0.42))
    return union(body, knob, 1.0)


def _with_nucleus(
    dice: Dice, slide: Slide, plane: Plane, density: Floats, outline: Floats, nucleus: Floats, dye: str
) -> Drawing:
    """The nucleus laid into the cell: clumps of chromatin between paler lanes, and a denser membrane."""
    nucleus = inset(nucleus, outline, 0.35)
    clumps = 1 + 0.13 * mottle(dice, plane, 0.9) + 0.10 * mottle(dice, plane, 2.0)
    membrane = 0.15 * np.exp(-((nucleus / 0.4) ** 2))
    chromatin = slide.dye(dye) * np.clip(clumps + membrane, 0.55, 1.5)[..., None]
    return Drawing(plane, coat(density, chromatin, plane.cover(nucleus)), outline, nucleus)
