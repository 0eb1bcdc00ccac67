"""Platelets, alone and clumped."""

import math
from functools import reduce

import numpy as np

from smearsynth.phantoms.dice import Dice, Floats
from smearsynth.phantoms.drawing import Drawing, coat, typical_area
from smearsynth.phantoms.geometry import Plane, Point, blob, grains, inset, polar, scatter, union
from smearsynth.phantoms.slide import Slide


def thrombocyte(dice: Dice, slide: Slide, um_per_px: float) -> Drawing:
    """One platelet: purple granules in the middle of a paler, slightly ragged hem."""
    return _platelets(dice, slide, um_per_px, [((0.0, 0.0), dice.near(typical_area("thrombocyte"), 0.18))])


def platelet_clump(dice: Dice, slide: Slide, um_per_px: float) -> Drawing:
    """Three to five platelets grown together."""
    number = dice.whole(3, 5)
    share = 1.08 * dice.near(typical_area("platelet_clump"), 0.15) / number
    members: list[tuple[Point, float]] = [((0.0, 0.0), dice.near(share, 0.15))]
    while len(members) < number:
        (x, y), area = dice.pick(members)
        new = dice.near(share, 0.15)
        dx, dy = polar(0.8 * (math.sqrt(area / math.pi) + math.sqrt(new / math.pi)), dice.angle())
        gaps = [math.hypot(x + dx - a, y + dy - b) for (a, b), _ in members]
        if min(gaps) > 0.8 * math.hypot(dx, dy) and sorted(gaps)[:2][-1] < 1.5 * math.hypot(dx, dy):
            members.append(((x + dx, y + dy), new))
    return _platelets(dice, slide, um_per_px, members)


def _platelets(dice: Dice, slide: Slide, um_per_px: float, members: list[tuple[Point, float]]) -> Drawing:
    """Platelets at these centres, um, of these areas, um2; the whole is centred on their mean."""
    middle = np.mean([centre for centre, _ in members], axis=0)
    reach = max(math.hypot(*(np.array(c) - middle)) + 1.9 * math.sqrt(a / math.pi) for c, a in members)
    plane = Plane.square(reach, um_per_px)
    own = [Plane(plane.x - x, plane.y - y, um_per_px) for (x, y) in (np.array(c) - middle for c, _ in members)]
    bodies = [_body(dice, at, area) for at, (_, area) in zip(own, members, strict=True)]
    outline = reduce(lambda a, b: union(a, b, fillet=0.9), bodies)
    density = slide.dye("platelet_body") * plane.cover(outline)[..., None]
    for at, (_, area) in zip(own, members, strict=True):
        granules = inset(_granules(dice, at, math.sqrt(area / math.pi)), outline, 0.2)
        density = coat(density, slide.dye("platelet_granule"), 0.9 * plane.cover(granules))
    return Drawing(plane, density, outline, np.full_like(outline, np.inf))


def _body(dice: Dice, plane: Plane, area: float) -> Floats:
    return blob(dice, plane.warped(dice, 0.10, 0.8), area, rough=dice.between(0.02, 0.06), waves=8)


def _granules(dice: Dice, plane: Plane, radius: float) -> Floats:
    """Fine granules, larger and denser in the middle of a platelet of this radius, um."""
    centres = scatter(dice, 0.82 * radius, spacing=0.38)
    crowd = 1.25 - 0.9 * np.hypot(*centres.T) / radius
    return grains(plane, centres, 0.18 * crowd * (1 + 0.3 * dice.normals(len(centres))))
