"""A bank of two laboratories that photograph the same kinds of cells: `clear`, and `tinted`, whose dyes and camera mix
the channels and whose glass is yellow."""

import numpy as np

from smearsynth.bank.bank import Bank
from smearsynth.taxonomy import INFECTED_RBC, RED_CELLS

SOURCES = ("clear", "tinted")
GLASS = {"clear": (250, 246, 240), "tinted": (254, 250, 170)}
TINT = np.array([[0.8, 0.25, 0.0], [0.1, 1.2, 0.1], [0.05, 0.1, 1.3]])
"""What the second laboratory makes of the densities of the first."""
BODY = np.array([0.28, 0.42, 0.25])
PARASITE = np.array([0.5, 0.9, 0.2])
"""Densities, in halvings, of a red cell in the first laboratory, and of a parasite above it."""


def two_laboratories(counts: dict[int, tuple[int, int]], seed: int = 0) -> Bank:
    """counts: class id -> cells of each laboratory. Every cell is a group of its own."""
    rng = np.random.default_rng(seed)
    kinds = [(c, s) for c, both in counts.items() for s in (0, 1) for _ in range(both[s])]
    cells = [_cell(rng, c, SOURCES[s]) for c, s in kinds]
    class_id, source = np.array(kinds, np.uint8).T
    n, side = len(kinds), cells[0].shape[0]
    return Bank(
        pixels=np.concatenate([c.reshape(-1, 4) for c in cells]),
        offset=np.arange(n, dtype=np.int64) * side * side,
        height=np.full(n, side, np.int32),
        width=np.full(n, side, np.int32),
        class_id=class_id.copy(),
        split=np.zeros(n, np.uint8),
        source=source.copy(),
        area=np.array([(c[..., 3] >= 128).sum() for c in cells], np.int32),
        glass=np.array([GLASS[SOURCES[s]] for s in source], np.uint8),
        glass_measured=np.ones(n, np.uint8),
        scale=np.ones(n, np.float32),
        groups=tuple(f"{SOURCES[s]}/{i}" for i, s in enumerate(source)),
        paths=tuple(f"{i}.png" for i in range(n)),
        sha256=("0" * 64,) * n,
        parts=("",) * n,
        sources=SOURCES,
    )


def _cell(rng: np.random.Generator, class_id: int, source: str) -> np.ndarray:
    """u1 (41, 41, 4): a red cell with a pallor and perhaps a parasite, or a nucleus in cytoplasm."""
    y, x = np.mgrid[-20:21, -20:21]
    distance = np.hypot(x, y)
    if class_id in RED_CELLS:
        pallor = rng.uniform(0.2, 0.8) * np.exp(-((distance / 6) ** 2))
        density = BODY * ((1 - pallor) * rng.normal(1, 0.06, distance.shape))[..., None] * rng.normal(1, 0.1)
        if class_id == INFECTED_RBC:
            density = density + PARASITE * (np.hypot(x - 9, y) < 2.5)[..., None]
    else:
        nucleus = (np.hypot(x - rng.uniform(-3, 3), y) < rng.uniform(8, 11))[..., None]
        cytoplasm = np.array([0.3, 0.5 + 0.1 * class_id, 0.2])
        texture = rng.gamma(8, 1 / 8, distance.shape)[..., None] * rng.normal(1, 0.15)
        density = np.where(nucleus, [1.4, 2.2, 0.6], cytoplasm) * texture
    density = density + rng.normal(0, 0.03, density.shape)
    if source == "tinted":
        density = density @ TINT.T
    colour = np.array(GLASS[source]) * 2.0**-density
    alpha = np.clip((17 - distance) * 255 + 128, 0, 255)
    return np.dstack([np.clip(np.rint(colour), 0, 255), alpha]).astype(np.uint8)
