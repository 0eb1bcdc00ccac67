"""A small bank of drawn cells that tests can read by eye: discs with a texture, an orientation mark and a soft rim."""

import numpy as np

from smearsynth.bank.bank import Bank
from smearsynth.taxonomy import CLASSES, RED_CELLS, SPLITS

SOURCES = ("alpha", "beta")
GLASS = {"alpha": (240, 238, 232), "beta": (250, 228, 200)}


def synthetic_bank(per_class: int = 3, shrink: float = 1.0) -> Bank:
    """`per_class` cells of each class, source and split; areas are the taxonomy's times shrink**2.

    Every colour is an integer function of position, class and number, so the bank is the same on any machine.
    """
    cells, facts = [], []
    for split in range(len(SPLITS)):
        for source in range(len(SOURCES)):
            for cls in CLASSES[1:]:
                for number in range(per_class):
                    radius = int(shrink * 16 * np.sqrt(cls.area / np.pi)) + 6 * (number - 1)
                    cells.append(_cell(radius, cls.id, number, SOURCES[source]))
                    facts.append((split, source, cls.id))
    shapes = np.array([c.shape[:2] for c in cells])
    split, source, class_id = np.array(facts, np.uint8).T
    sizes = shapes.prod(axis=1)
    return Bank(
        pixels=np.concatenate([c.reshape(-1, 4) for c in cells]),
        offset=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
        height=shapes[:, 0].astype(np.int32),
        width=shapes[:, 1].astype(np.int32),
        class_id=class_id.copy(),
        split=split.copy(),
        source=source.copy(),
        area=np.array([(c[..., 3] >= 128).sum() for c in cells], np.int32),
        glass=np.array([GLASS[SOURCES[s]] for s in source], np.uint8),
        glass_measured=np.ones(len(cells), np.uint8),
        scale=np.ones(len(cells), np.float32),
        groups=tuple(f"{SOURCES[s]}/{i}" for i, s in enumerate(source)),
        paths=tuple(f"{i}.png" for i in range(len(cells))),
        sha256=("0" * 64,) * len(cells),
        parts=("",) * len(cells),
        sources=SOURCES,
    )


def _cell(radius: int, class_id: int, number: int, source: str) -> np.ndarray:
    """A disc of `radius` in 1/16 px, 1.1 times as wide as high, soft over one pixel; u1 (h, w, 4)."""
    reach = radius // 16 + 4 + number % 2
    y, x = np.mgrid[-reach : reach + 1, -reach - 2 : reach + 3 + number % 2] * 16
    distance = np.sqrt((x * 10 // 11) ** 2 + y**2).astype(np.int64)
    alpha = np.clip((radius - distance) * 16 + 128, 0, 255)
    alpha[:2], alpha[-2:], alpha[:, :2], alpha[:, -2:] = 0, 0, 0, 0
    glass = np.array(GLASS[source])
    tint = np.array([40, 90, 70] if class_id in RED_CELLS else [90 - 4 * class_id, 120, 20 + 8 * class_id])
    texture = ((x // 16 * 7 + y // 16 * 3 + number * 5) % 13)[..., None]
    colour = glass - tint - texture
    mark = (x > 0) & (y > 0) & (x < radius // 2) & (y < radius // 3)
    colour[mark] = colour[mark] // 2
    return np.dstack([np.clip(colour, 0, 255), alpha]).astype(np.uint8)
