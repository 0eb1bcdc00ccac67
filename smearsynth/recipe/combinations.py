"""The 108 combinations of a smear: 36 foregrounds times 3 backgrounds of red cells.

A foreground is none, one or two of the seven white-cell and platelet classes, with repetition. Its name is
the class keys in the order of their ids joined by "+", then "/" and the background: "none/healthy",
"lymphocyte+monocyte/mixed".
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement

from smearsynth.taxonomy import CLASSES, FOREGROUND_CLASSES, HEALTHY_RBC, INFECTED_RBC, RED_CELLS

_RED_CELLS_OF = {"infected": (INFECTED_RBC,), "healthy": (HEALTHY_RBC,), "mixed": RED_CELLS}
BACKGROUNDS = tuple(_RED_CELLS_OF)


@dataclass(frozen=True)
class Combination:
    """foreground: up to two class ids, ascending. background: one of BACKGROUNDS."""

    foreground: tuple[int, ...]
    background: str

    @property
    def name(self) -> str:
        keys = "+".join(CLASSES[c].key for c in self.foreground)
        return f"{keys or 'none'}/{self.background}"

    @property
    def classes(self) -> frozenset[int]:
        """Ids of all classes that a smear of this combination holds."""
        return frozenset((*self.foreground, *_RED_CELLS_OF[self.background]))


_FOREGROUNDS = tuple(f for n in range(3) for f in combinations_with_replacement(FOREGROUND_CLASSES, n))

COMBINATIONS = {c.name: c for f in _FOREGROUNDS for b in BACKGROUNDS for c in [Combination(f, b)]}
"""All 108 by name, in a fixed order: the background changes fastest."""
