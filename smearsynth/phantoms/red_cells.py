"""Red cells, and the malaria parasites that live in them."""

import math

import numpy as np

from smearsynth.phantoms.dice import Dice, Floats
from smearsynth.phantoms.drawing import Drawing, coat, typical_area
from smearsynth.phantoms.geometry import Plane, blob, cut, disc, grains, inset, mottle, polar, scatter, union
from smearsynth.phantoms.slide import Slide


def healthy_rbc(dice: Dice, slide: Slide, um_per_px: float) -> Drawing:
    """A biconcave disc: paler in the middle, never quite round."""
    return _disc(dice, slide, um_per_px, "healthy_rbc")


def infected_rbc(dice: Dice, slide: Slide, um_per_px: float) -> Drawing:
    """A red cell with one or two ring forms or a trophozoite."""
    cell = _disc(dice, slide, um_per_px, "infected_rbc")
    radius = math.sqrt(typical_area("infected_rbc") / math.pi)
    density, turn = cell.density, dice.angle()
    stage = dice.whole(0, 9)
    if stage < 3:
        density = _trophozoite(dice, slide, cell, density, polar(radius * dice.between(0.0, 0.3), turn))
    else:
        for i in range(2 if stage == 9 else 1):
            place = polar(radius * dice.between(0.25, 0.55), turn + i * dice.between(2.2, 4.0))
            density = _ring(dice, slide, cell, density, place)
    return Drawing(cell.plane, density, cell.outline, cell.nucleus)


def _disc(dice: Dice, slide: Slide, um_per_px: float, class_key: str) -> Drawing:
    area = dice.near(typical_area(class_key), 0.12)
    radius = math.sqrt(area / math.pi)
    plane = Plane.square(1.45 * radius, um_per_px)
    stretch = dice.near(1.0, 0.06)
    oval = Plane(plane.x * stretch, plane.y / stretch, um_per_px)
    outline = blob(dice, oval.warped(dice, 0.06, 2.5), area, rough=dice.between(0.01, 0.05), waves=5)
    dip = outline + 0.5 * radius + 0.3 * mottle(dice, plane, 3.0)
    pallor = dice.between(0.15, 0.75) / (1 + np.exp(dip / dice.between(0.25, 0.5)))
    # Without a grain of its own every smooth disc is the twin of every other, and is taken for the same cell.
    shade = dice.near(1.0, 0.08) * (1 - pallor) * (1 + 0.06 * mottle(dice, plane, 0.5))
    density = slide.dye("haemoglobin") * (shade * plane.cover(outline))[..., None]
    return Drawing(plane, density, outline, np.full_like(outline, np.inf))


def _ring(dice: Dice, slide: Slide, cell: Drawing, density: Floats, place: tuple[float, float]) -> Floats:
    """A signet ring: a thin blue band around a pale vacuole, one or two red chromatin dots on it."""
    plane = Plane(cell.plane.x - place[0], cell.plane.y - place[1], cell.plane.um_per_px)
    radius, turn = dice.between(0.85, 1.25), dice.angle()
    outer = blob(dice, plane, math.pi * radius**2, rough=0.06, waves=4)
    hollow = disc(plane, polar(0.12 * radius, turn), radius - dice.between(0.28, 0.38))
    band = inset(cut(outer, hollow, 0.1), cell.outline, 0.15)
    density = coat(density, 0.6 * slide.dye("haemoglobin"), 0.8 * plane.cover(inset(hollow, cell.outline, 0.15)))
    density = coat(density, slide.dye("parasite_plasm"), 0.9 * plane.cover(band))
    for i in range(dice.pick((1, 1, 1, 2))):
        dot = disc(plane, polar(0.9 * radius, turn + math.pi + i * dice.between(0.8, 3.0)), dice.between(0.34, 0.48))
        density = coat(density, slide.dye("parasite_chromatin"), plane.cover(inset(dot, cell.outline, 0.1)))
    return density


def _trophozoite(dice: Dice, slide: Slide, cell: Drawing, density: Floats, place: tuple[float, float]) -> Floats:
    """A grown, amoeboid parasite with a vacuole, a chromatin mass and grains of brown pigment."""
    plane = Plane(cell.plane.x - place[0], cell.plane.y - place[1], cell.plane.um_per_px)
    radius, turn = dice.between(1.35, 1.8), dice.angle()
    body = blob(dice, plane.warped(dice, 0.2, 1.2), math.pi * radius**2, rough=0.16)
    vacuole = disc(plane, polar(0.35 * radius, turn), dice.between(0.4, 0.6))
    body = inset(cut(body, vacuole), cell.outline, 0.2)
    texture = 1 + 0.12 * mottle(dice, plane, 0.6)
    density = coat(density, slide.dye("parasite_plasm") * texture[..., None], plane.cover(body))
    mass = union(disc(plane, polar(0.6 * radius, turn + 2.5), 0.5), disc(plane, polar(0.75 * radius, turn + 3.1), 0.4))
    density = coat(density, slide.dye("parasite_chromatin"), plane.cover(inset(mass, cell.outline, 0.15)))
    specks = scatter(dice, 0.8 * radius, spacing=0.8)
    speck = inset(grains(plane, specks, np.full(len(specks), 0.13)), body, 0.1)
    return coat(density, slide.dye("pigment"), 0.8 * plane.cover(speck))
