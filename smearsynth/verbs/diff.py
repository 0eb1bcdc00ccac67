"""What differs between two datasets, or between two recipes."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from smearsynth.base.errors import UserError
from smearsynth.base.json_values import Difference, differences, shown
from smearsynth.dataset import layout
from smearsynth.dataset.verify.stated_index import Stated, stated_of
from smearsynth.recipe.reading import load_recipe, read_resolved
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import SPLITS

_NAMED = 10
"""Samples that are named; of more, only the number is told."""
_IDENTITY = ("format_version", "generator_version", "bank_digest", "digest")


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Samples of two sets, held together by split, scene and look. equal, unequal: in both, by their digests; only_a,
    only_b: in one of them. first: ids, as in A, of the first unequal ones."""

    equal: int
    unequal: int
    only_a: int
    only_b: int
    first: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Diff:
    """recipe: keys that differ. index: figures that differ, of two datasets. samples: None for two recipes."""

    same: bool
    recipe: tuple[Difference, ...]
    index: tuple[Difference, ...]
    samples: Samples | None


def diff(a: str | Path, b: str | Path) -> Diff:
    """Compares two folders of datasets, or two recipe files with every default spelled out.

    Two sets are the same if their digests are, whatever their names, counts of files and codecs. Raises UserError
    where one of them is neither, or they are one of each.
    """
    one, other = Path(a), Path(b)
    if one.is_dir() != other.is_dir():
        raise UserError(f"{one} and {other}: one is a folder and one is not; compare two datasets or two recipes.")
    if not one.is_dir():
        plain = [load_recipe(path, roots=False).model_dump(mode="json") for path in (one, other)]
        found = tuple(differences(*plain))
        return Diff(same=not found, recipe=found, index=(), samples=None)
    sets = [stated_of(path) for path in (one, other)]
    recipes = [read_resolved(path / layout.RECIPE) for path in (one, other)]
    return Diff(
        same=sets[0].digest == sets[1].digest,
        recipe=tuple(differences(*recipes)),
        index=tuple(differences(*map(_figures, sets))),
        samples=_compared(_samples(one, sets[0], 0), _samples(other, sets[1], 1)),
    )


def as_text(found: Diff) -> str:
    """The differences for a person, one a line."""
    lines = [f"recipe: {_sentence(d)}" for d in found.recipe] + [_sentence(d) for d in found.index]
    if found.samples:
        s = found.samples
        named = f": {', '.join(s.first)}{' ...' if s.unequal > len(s.first) else ''}" if s.first else ""
        both = f"samples: {s.equal:,} equal, {s.only_a:,} only in A, {s.only_b:,} only in B"
        lines.append(f"{both}, {s.unequal:,} differ{named}")
    return "\n".join([*lines, "the same" if found.same else "not the same"])


def _sentence(d: Difference) -> str:
    old, new = ("not set" if value is None else shown(value) for value in (d.old, d.new))
    return f"{d.path} is {old} in A and {new} in B"


def _figures(stated: Stated) -> dict[str, Any]:
    splits = {split: part.model_dump() for split, part in stated.splits.items()}
    return stated.model_dump(mode="json", include=set(_IDENTITY)) | {"splits": splits}


class _Sample(NamedTuple):
    """One sample of set number `of`; in the order of its fields, both sets are."""

    split: int
    scene: int
    look: str
    of: int
    name: str
    digest: str


def _samples(folder: Path, stated: Stated, of: int) -> Iterator[_Sample]:
    """All samples of a set, looks of a scene by their names; one shard at a time is read."""
    for file in stated.shards:
        reader, split = ShardReader(folder / file.name), SPLITS.index(str(file.split))
        columns = (reader.column(name).tolist() for name in ("scene", "look", "sample_id", "digest"))
        rows = zip(*columns, strict=True)
        looks = reader.header.looks
        yield from sorted(_Sample(split, scene, looks[look], of, *rest) for scene, look, *rest in rows)


def _compared(a: Iterator[_Sample], b: Iterator[_Sample]) -> Samples:
    counts: Counter[str] = Counter()
    first: list[str] = []
    for _, group in groupby(heapq.merge(a, b), key=lambda sample: sample[:3]):
        found = list(group)
        if len(found) == 1:
            counts["only_b" if found[0].of else "only_a"] += 1
        elif found[0].digest == found[1].digest:
            counts["equal"] += 1
        else:
            counts["unequal"] += 1
            if len(first) < _NAMED:
                first.append(found[0].name)
    return Samples(**{kind: counts[kind] for kind in ("equal", "unequal", "only_a", "only_b")}, first=tuple(first))
