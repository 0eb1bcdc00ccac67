"""Cells drawn as a haematologist tells them apart: by nucleus, granules, cytoplasm and size.

The five white cells, then red cells and the malaria parasites that live in them, then platelets, alone and clumped.
"""

import math
from functools import reduce

import numpy as np

from smearsynth.drawing.shapes import (
    Drawing,
    Floats,
    KeyedRandom,
    Plane,
    Point,
    blob,
    coat,
    cut,
    disc,
    grains,
    inset,
    mottle,
    polar,
    scatter,
    strand,
    typical_area,
    union,
)
from smearsynth.drawing.slides import Slide


def eosinophil(rng: KeyedRandom, slide: Slide, um_per_px: float) -> Drawing:
    """Two lobes, the rest full of coarse orange-red granules."""
    plane, outline, radius = _cell(rng, "eosinophil", um_per_px, rough=0.025)
    density = _plasm(rng, plane, slide.dye("eosinophil_plasm"), outline, texture=0.10)
    centres = scatter(rng, 1.1 * radius, spacing=0.95)
    granule = grains(plane, centres, _radii(rng, len(centres), 0.40))
    shade = 0.85 + 0.12 * mottle(rng, plane, 2.5)[..., None]
    density = coat(density, slide.dye("eosinophil_granule") * shade, plane.cover(inset(granule, outline, 0.1)))
    nucleus = _lobes(rng, plane, radius, number=2 if rng.integer(0, 5) else 3, size=0.37)
    return _with_nucleus(rng, slide, plane, density, outline, nucleus, "chromatin")


def basophil(rng: KeyedRandom, slide: Slide, um_per_px: float) -> Drawing:
    """Dark blue-violet granules of unequal size strewn over a pale, folded nucleus."""
    plane, outline, radius = _cell(rng, "basophil", um_per_px, rough=0.03)
    density = _plasm(rng, plane, slide.dye("basophil_plasm"), outline, texture=0.15)
    nucleus = _lobes(rng, plane, radius, number=rng.integer(2, 3), size=0.42)
    drawing = _with_nucleus(rng, slide, plane, density, outline, nucleus, "young_chromatin")
    centres = scatter(rng, 1.05 * radius, spacing=rng.uniform(1.1, 1.4))
    granule = grains(plane, centres, _radii(rng, len(centres), rng.uniform(0.42, 0.52)))
    cover = plane.cover(inset(granule, outline, -0.1))
    density = coat(drawing.density, slide.dye("basophil_granule"), 0.95 * cover)
    return Drawing(plane, density, np.minimum(outline, np.where(cover > 0.5, granule, np.inf)), drawing.nucleus)


def neutrophil(rng: KeyedRandom, slide: Slide, um_per_px: float) -> Drawing:
    """Three to five dark lobes on thin bridges, in pale pink, finely granular cytoplasm."""
    plane, outline, radius = _cell(rng, "neutrophil", um_per_px, rough=0.035)
    density = _plasm(rng, plane, slide.dye("neutrophil_plasm"), outline, texture=0.06)
    centres = scatter(rng, radius, spacing=0.75)
    granule = grains(plane, centres, _radii(rng, len(centres), 0.16))
    density = coat(density, slide.dye("neutrophil_granule"), 0.6 * plane.cover(inset(granule, outline, 0.3)))
    nucleus = _lobes(rng, plane, radius, number=rng.integer(3, 5), size=0.245)
    return _with_nucleus(rng, slide, plane, density, outline, nucleus, "chromatin")


def lymphocyte(rng: KeyedRandom, slide: Slide, um_per_px: float) -> Drawing:
    """A round, dense nucleus that nearly fills the cell, and a thin blue rim, wider on one side."""
    plane, outline, radius = _cell(rng, "lymphocyte", um_per_px, rough=0.03)
    density = _plasm(rng, plane, slide.dye("lymphocyte_plasm"), outline, texture=0.12)
    share = rng.uniform(0.74, 0.88)
    aside = polar((0.95 - share) * radius * rng.uniform(0.3, 1.0), rng.angle())
    shifted = Plane(plane.x - aside[0], plane.y - aside[1], plane.um_per_px)
    nucleus = blob(rng, shifted, math.pi * (share * radius) ** 2, rough=0.03, waves=4)
    if rng.integer(0, 2) == 0:
        nucleus = cut(nucleus, disc(shifted, polar(1.15 * share * radius, rng.angle()), 0.3 * radius), 1.0)
    return _with_nucleus(rng, slide, plane, density, outline, nucleus, "chromatin")


def monocyte(rng: KeyedRandom, slide: Slide, um_per_px: float) -> Drawing:
    """The largest: a kidney or horseshoe of lacy chromatin in grey-blue cytoplasm with vacuoles."""
    plane, outline, radius = _cell(rng, "monocyte", um_per_px, rough=0.06)
    density = _plasm(rng, plane, slide.dye("monocyte_plasm"), outline, texture=0.12)
    for _ in range(rng.integer(5, 14)):
        vacuole = disc(plane, polar(radius * rng.uniform(0.45, 0.85), rng.angle()), rng.uniform(0.3, 0.75))
        density = coat(density, 0.25 * slide.dye("monocyte_plasm"), plane.cover(inset(vacuole, outline, 0.4)))
    nucleus = _kidney(rng, plane, radius)
    return _with_nucleus(rng, slide, plane, density, outline, nucleus, "young_chromatin")


def _cell(rng: KeyedRandom, class_key: str, um_per_px: float, rough: float) -> tuple[Plane, Floats, float]:
    """A plane that holds the cell, its outline, and the radius, um, of the disc of its area."""
    area = rng.lognormal(typical_area(class_key), 0.12)
    radius = math.sqrt(area / math.pi)
    plane = Plane.square(1.5 * radius, um_per_px)
    return plane, blob(rng, plane.warped(rng, 0.12, 3.0), area, rough), radius


def _plasm(rng: KeyedRandom, plane: Plane, dye: Floats, outline: Floats, texture: float) -> Floats:
    fine = 1 + texture * mottle(rng, plane, 0.7) + 0.8 * texture * mottle(rng, plane, 3.0)
    return dye * (fine * plane.cover(outline))[..., None]


def _radii(rng: KeyedRandom, number: int, mean: float) -> Floats:
    return mean * (1 + 0.22 * rng.normal(number))


def _lobes(rng: KeyedRandom, plane: Plane, radius: float, number: int, size: float) -> Floats:
    """Lobes of about `size` cell radii, strung on a thin bridge along an arc."""
    plane = plane.warped(rng, 0.22, 2.8)
    arc, step = rng.angle(), (rng.uniform(1.9, 2.6) if number == 2 else rng.uniform(4.6, 5.4) / number)
    away = radius * (0.43 if number == 2 else 0.55)
    middles = [polar(away * rng.uniform(0.8, 1.1), arc + step * i) for i in range(number)]
    nucleus = strand(plane, middles, rng.uniform(0.25, 0.4))
    for i, (x, y) in enumerate(middles):
        length = 0.5 * size * radius * rng.uniform(0.2, 0.9)
        dx, dy = polar(length, arc + step * i + math.pi / 2 + rng.uniform(-0.9, 0.9))
        lobe: list[Point] = [(x - dx, y - dy), (x + dx, y + dy)]
        nucleus = union(nucleus, strand(plane, lobe, size * radius * rng.uniform(0.78, 1.0)), 0.5)
    return nucleus


def _kidney(rng: KeyedRandom, plane: Plane, radius: float) -> Floats:
    """A thick arc of a third to two thirds of a turn, its open side anywhere."""
    plane = plane.warped(rng, 0.3, 3.2)
    turn, bend = rng.angle(), rng.uniform(1.9, 4.0)
    away = radius * rng.uniform(0.38, 0.46)
    path = [polar(away, turn + bend * (i / 8 - 0.5)) for i in range(9)]
    body = strand(plane, path, radius * rng.uniform(0.30, 0.38))
    knob = disc(plane, path[rng.choice((0, -1))], radius * rng.uniform(0.34, 0.42))
    return union(body, knob, 1.0)


def _with_nucleus(
    rng: KeyedRandom, slide: Slide, plane: Plane, density: Floats, outline: Floats, nucleus: Floats, dye: str
) -> Drawing:
    """The nucleus laid into the cell: clumps of chromatin between paler lanes, and a denser membrane."""
    nucleus = inset(nucleus, outline, 0.35)
    clumps = 1 + 0.13 * mottle(rng, plane, 0.9) + 0.10 * mottle(rng, plane, 2.0)
    membrane = 0.15 * np.exp(-((nucleus / 0.4) ** 2))
    chromatin = slide.dye(dye) * np.clip(clumps + membrane, 0.55, 1.5)[..., None]
    return Drawing(plane, coat(density, chromatin, plane.cover(nucleus)), outline, nucleus)


def healthy_rbc(rng: KeyedRandom, slide: Slide, um_per_px: float) -> Drawing:
    """A biconcave disc: paler in the middle, never quite round."""
    return _disc(rng, slide, um_per_px, "healthy_rbc")


def infected_rbc(rng: KeyedRandom, slide: Slide, um_per_px: float) -> Drawing:
    """A red cell with one or two ring forms or a trophozoite."""
    cell = _disc(rng, slide, um_per_px, "infected_rbc")
    radius = math.sqrt(typical_area("infected_rbc") / math.pi)
    density, turn = cell.density, rng.angle()
    stage = rng.integer(0, 9)
    if stage < 3:
        density = _trophozoite(rng, slide, cell, density, polar(radius * rng.uniform(0.0, 0.3), turn))
    else:
        for i in range(2 if stage == 9 else 1):
            place = polar(radius * rng.uniform(0.25, 0.55), turn + i * rng.uniform(2.2, 4.0))
            density = _ring(rng, slide, cell, density, place)
    return Drawing(cell.plane, density, cell.outline, cell.nucleus)


def _disc(rng: KeyedRandom, slide: Slide, um_per_px: float, class_key: str) -> Drawing:
    area = rng.lognormal(typical_area(class_key), 0.12)
    radius = math.sqrt(area / math.pi)
    plane = Plane.square(1.45 * radius, um_per_px)
    stretch = rng.lognormal(1.0, 0.06)
    oval = Plane(plane.x * stretch, plane.y / stretch, um_per_px)
    outline = blob(rng, oval.warped(rng, 0.06, 2.5), area, rough=rng.uniform(0.01, 0.05), waves=5)
    dip = outline + 0.5 * radius + 0.3 * mottle(rng, plane, 3.0)
    pallor = rng.uniform(0.15, 0.75) / (1 + np.exp(dip / rng.uniform(0.25, 0.5)))
    # Without a grain of its own every smooth disc is the twin of every other, and is taken for the same cell.
    shade = rng.lognormal(1.0, 0.08) * (1 - pallor) * (1 + 0.06 * mottle(rng, plane, 0.5))
    density = slide.dye("haemoglobin") * (shade * plane.cover(outline))[..., None]
    return Drawing(plane, density, outline, np.full_like(outline, np.inf))


def _ring(rng: KeyedRandom, slide: Slide, cell: Drawing, density: Floats, place: tuple[float, float]) -> Floats:
    """A signet ring: a thin blue band around a pale vacuole, one or two red chromatin dots on it."""
    plane = Plane(cell.plane.x - place[0], cell.plane.y - place[1], cell.plane.um_per_px)
    radius, turn = rng.uniform(0.85, 1.25), rng.angle()
    outer = blob(rng, plane, math.pi * radius**2, rough=0.06, waves=4)
    hollow = disc(plane, polar(0.12 * radius, turn), radius - rng.uniform(0.28, 0.38))
    band = inset(cut(outer, hollow, 0.1), cell.outline, 0.15)
    density = coat(density, 0.6 * slide.dye("haemoglobin"), 0.8 * plane.cover(inset(hollow, cell.outline, 0.15)))
    density = coat(density, slide.dye("parasite_plasm"), 0.9 * plane.cover(band))
    for i in range(rng.choice((1, 1, 1, 2))):
        dot = disc(plane, polar(0.9 * radius, turn + math.pi + i * rng.uniform(0.8, 3.0)), rng.uniform(0.34, 0.48))
        density = coat(density, slide.dye("parasite_chromatin"), plane.cover(inset(dot, cell.outline, 0.1)))
    return density


def _trophozoite(rng: KeyedRandom, slide: Slide, cell: Drawing, density: Floats, place: tuple[float, float]) -> Floats:
    """A grown, amoeboid parasite with a vacuole, a chromatin mass and grains of brown pigment."""
    plane = Plane(cell.plane.x - place[0], cell.plane.y - place[1], cell.plane.um_per_px)
    radius, turn = rng.uniform(1.35, 1.8), rng.angle()
    body = blob(rng, plane.warped(rng, 0.2, 1.2), math.pi * radius**2, rough=0.16)
    vacuole = disc(plane, polar(0.35 * radius, turn), rng.uniform(0.4, 0.6))
    body = inset(cut(body, vacuole), cell.outline, 0.2)
    texture = 1 + 0.12 * mottle(rng, plane, 0.6)
    density = coat(density, slide.dye("parasite_plasm") * texture[..., None], plane.cover(body))
    mass = union(disc(plane, polar(0.6 * radius, turn + 2.5), 0.5), disc(plane, polar(0.75 * radius, turn + 3.1), 0.4))
    density = coat(density, slide.dye("parasite_chromatin"), plane.cover(inset(mass, cell.outline, 0.15)))
    specks = scatter(rng, 0.8 * radius, spacing=0.8)
    speck = inset(grains(plane, specks, np.full(len(specks), 0.13)), body, 0.1)
    return coat(density, slide.dye("pigment"), 0.8 * plane.cover(speck))


def thrombocyte(rng: KeyedRandom, slide: Slide, um_per_px: float) -> Drawing:
    """One platelet: purple granules in the middle of a paler, slightly ragged hem."""
    return _platelets(rng, slide, um_per_px, [((0.0, 0.0), rng.lognormal(typical_area("thrombocyte"), 0.18))])


def platelet_clump(rng: KeyedRandom, slide: Slide, um_per_px: float) -> Drawing:
    """Three to five platelets grown together."""
    number = rng.integer(3, 5)
    share = 1.08 * rng.lognormal(typical_area("platelet_clump"), 0.15) / number
    members: list[tuple[Point, float]] = [((0.0, 0.0), rng.lognormal(share, 0.15))]
    while len(members) < number:
        (x, y), area = rng.choice(members)
        new = rng.lognormal(share, 0.15)
        dx, dy = polar(0.8 * (math.sqrt(area / math.pi) + math.sqrt(new / math.pi)), rng.angle())
        gaps = [math.hypot(x + dx - a, y + dy - b) for (a, b), _ in members]
        if min(gaps) > 0.8 * math.hypot(dx, dy) and sorted(gaps)[:2][-1] < 1.5 * math.hypot(dx, dy):
            members.append(((x + dx, y + dy), new))
    return _platelets(rng, slide, um_per_px, members)


def _platelets(rng: KeyedRandom, slide: Slide, um_per_px: float, members: list[tuple[Point, float]]) -> Drawing:
    """Platelets at these centres, um, of these areas, um2; the whole is centred on their mean."""
    middle = np.mean([centre for centre, _ in members], axis=0)
    reach = max(math.hypot(*(np.array(c) - middle)) + 1.9 * math.sqrt(a / math.pi) for c, a in members)
    plane = Plane.square(reach, um_per_px)
    own = [Plane(plane.x - x, plane.y - y, um_per_px) for (x, y) in (np.array(c) - middle for c, _ in members)]
    bodies = [_body(rng, at, area) for at, (_, area) in zip(own, members, strict=True)]
    outline = reduce(lambda a, b: union(a, b, fillet=0.9), bodies)
    density = slide.dye("platelet_body") * plane.cover(outline)[..., None]
    for at, (_, area) in zip(own, members, strict=True):
        granules = inset(_granules(rng, at, math.sqrt(area / math.pi)), outline, 0.2)
        density = coat(density, slide.dye("platelet_granule"), 0.9 * plane.cover(granules))
    return Drawing(plane, density, outline, np.full_like(outline, np.inf))


def _body(rng: KeyedRandom, plane: Plane, area: float) -> Floats:
    return blob(rng, plane.warped(rng, 0.10, 0.8), area, rough=rng.uniform(0.02, 0.06), waves=8)


def _granules(rng: KeyedRandom, plane: Plane, radius: float) -> Floats:
    """Fine granules, larger and denser in the middle of a platelet of this radius, um."""
    centres = scatter(rng, 0.82 * radius, spacing=0.38)
    crowd = 1.25 - 0.9 * np.hypot(*centres.T) / radius
    return grains(plane, centres, 0.18 * crowd * (1 + 0.3 * rng.normal(len(centres))))
