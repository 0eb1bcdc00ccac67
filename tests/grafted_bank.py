"""A small bank of drawn red cells, some with a ring, and the same with grafts."""

from dataclasses import replace
from functools import cache

import numpy as np
from synthetic_bank import synthetic_bank

from smearsynth.bank.bank import Bank, lay_end_to_end
from smearsynth.bank.grafts import with_grafts
from smearsynth.recipe.cell_options import GraftsSpec
from smearsynth.taxonomy import HEALTHY_RBC, INFECTED_RBC

RING_AT = -5, 4
"""Row and column of the ring's middle, from the cell's."""
GLASS = 240, 236, 230
SPEC = GraftsSpec(infected_per_host=3, look_alikes_per_host=1)


def red_cell(radius: float, number: int, *, ring: bool) -> np.ndarray:
    """uint8 (h, w, 4): a smooth disc, paler in the middle; ring: with a dark ring and its grain of chromatin."""
    reach = int(radius) + 4
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    alpha = np.clip((radius - np.hypot(x, y)) * 255 + 128, 0, 255)
    density = (0.25 + 0.1 * (np.hypot(x, y) / radius) ** 2)[..., None] * np.array([0.5, 1.0, 0.7])
    if ring:
        far = np.hypot(x - RING_AT[1], y - RING_AT[0])
        circle, grain = np.exp(-((far - 3) ** 2)), np.hypot(x - RING_AT[1] - 3, y - RING_AT[0]) < 1.6
        density += (0.35 * circle + 0.5 * grain)[..., None] * np.array([0.4, 1.0, 0.4])
    colour = np.array(GLASS) * np.exp(-density) + number % 3
    return np.dstack([np.clip(colour, 0, 255), alpha]).astype(np.uint8)


def bank_with_rings() -> Bank:
    """Two sources, three splits; in each six healthy red cells, four with a ring, and one infected without."""
    base = synthetic_bank(per_class=1, shrink=0.4)
    cells = [base.rgba(row) for row in range(len(base))]
    facts = list(zip(base.split.tolist(), base.source.tolist(), base.class_id.tolist(), strict=True))
    keep = [row for row, (_, _, class_id) in enumerate(facts) if class_id < INFECTED_RBC]
    cells, facts = [cells[row] for row in keep], [facts[row] for row in keep]
    for split in range(3):
        for source in range(2):
            for number in range(11):
                class_id = HEALTHY_RBC if number < 6 else INFECTED_RBC
                cells.append(red_cell(17 + number % 4, number, ring=6 <= number < 10))
                facts.append((split, source, class_id))
    split, source, class_id = np.array(facts, np.uint8).T
    n = len(cells)
    return replace(
        base,
        **lay_end_to_end(cells, start=0),
        class_id=class_id.copy(),
        split=split.copy(),
        source=source.copy(),
        glass=np.tile(np.array(GLASS, np.uint8), (n, 1)),
        glass_measured=np.ones(n, np.uint8),
        scale=np.ones(n, np.float32),
        groups=tuple(f"{base.sources[s]}/{i}" for i, s in enumerate(source)),
        paths=tuple(f"{i}.png" for i in range(n)),
        sha256=("0" * 64,) * n,
        parts=("",) * n,
    )


@cache
def grafted() -> Bank:
    """Made once for all tests, which change copies of it."""
    return with_grafts(bank_with_rings(), SPEC, 0)
