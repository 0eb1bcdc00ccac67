"""Which combinations were met how often: foregrounds by backgrounds of red cells."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from smearsynth.recipe.combinations import BACKGROUNDS, COMBINATIONS, Combination
from smearsynth.taxonomy import BY_KEY, CLASSES


@dataclass(frozen=True)
class Met:
    """How often a combination was met. shade: 0 to 1, of the one that was met most. by_split: in words."""

    times: int
    shade: float
    by_split: str


@dataclass(frozen=True)
class Row:
    """A foreground, and how often it was met on each of BACKGROUNDS."""

    name: str
    met: tuple[Met, ...]


def matrix(by_split: Mapping[str, Mapping[str, int]]) -> tuple[list[Row], int]:
    """by_split: combinations of each split, name -> samples. All 36 foregrounds; and in how many smears something else
    lies.

    A field larger than 224x224 px holds a foreground several times over; it counts where its classes stand once.
    """
    counts = {split: Counter[str]() for split in by_split}
    for split, met in by_split.items():
        for name, times in met.items():
            counts[split][_folded(name)] += times
    whole = sum(counts.values(), Counter[str]())
    most = max([whole[name] for name in COMBINATIONS] + [1])
    foregrounds = dict.fromkeys(c.foreground for c in COMBINATIONS.values())
    rows = [
        Row(
            " + ".join(CLASSES[c].name for c in foreground) or "none",
            tuple(
                Met(
                    whole[name],
                    whole[name] / most,
                    ", ".join(f"{split} {n[name]:,}" for split, n in counts.items()),
                )
                for name in (Combination(foreground, background).name for background in BACKGROUNDS)
            ),
        )
        for foreground in foregrounds
    ]
    return rows, sum(times for name, times in whole.items() if name not in COMBINATIONS)


def _folded(name: str) -> str:
    """The combination with each of its classes once, where it is none of the 108."""
    foreground, _, background = name.rpartition("/")
    ids = {BY_KEY[key].id for key in foreground.split("+") if key in BY_KEY}
    folded = Combination(tuple(sorted(ids)), background)
    return name if name in COMBINATIONS or background not in BACKGROUNDS else folded.name
