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
from smearsynth.dataset.index_schema import IndexSchema, load_index
from smearsynth.recipe.reading import load_recipe, read_resolved
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import SPLITS

_NAMED = 10
"""Unequal samples that are named; the others are only counted."""
_IDENTITY = {"format_version", "generator_version", "bank_digest", "digest"}


@dataclass(frozen=True, kw_only=True)
class ComparedSamples:
    """Samples of two sets, paired by split, scene and look. equal, unequal: in both, by their digests; only_a, only_b:
    in one of them. first: ids, as in A, of the first unequal ones.
    """

    equal: int
    unequal: int
    only_a: int
    only_b: int
    first: tuple[str, ...]

    def __str__(self) -> str:
        more = " ..." if self.unequal > len(self.first) else ""
        named = f": {', '.join(self.first)}{more}" if self.first else ""
        both = f"{self.equal:,} equal, {self.only_a:,} only in A, {self.only_b:,} only in B"
        return f"samples: {both}, {self.unequal:,} differ{named}"


@dataclass(frozen=True, kw_only=True)
class Diff:
    """Differences of A and B; printed, one a line. recipe: keys. index: figures, of two datasets. samples: None for two
    recipes.
    """

    same: bool
    recipe: tuple[Difference, ...]
    index: tuple[Difference, ...]
    samples: ComparedSamples | None

    def __str__(self) -> str:
        lines = [f"recipe: {_sentence(d)}" for d in self.recipe] + [_sentence(d) for d in self.index]
        lines += [str(self.samples)] if self.samples else []
        return "\n".join([*lines, "the same" if self.same else "not the same"])


def _sentence(d: Difference) -> str:
    old, new = ("not set" if value is None else shown(value) for value in (d.old, d.new))
    return f"{d.path} is {old} in A and {new} in B"


def diff(a: str | Path, b: str | Path) -> Diff:
    """Compares `a` and `b`, two folders of datasets, or two recipe files with every default spelled out.

    Two sets are the same if their digests are, whatever their names, counts of files and codecs. Raises UserError
    where one of them is neither, or they are one of each.

    >>> print(smearsynth.diff("quickstart", "quickstart"))
    samples: 500 equal, 0 only in A, 0 only in B, 0 differ
    the same
    """
    one, other = Path(a), Path(b)
    if one.is_dir() != other.is_dir():
        raise UserError(f"{one} and {other}: one is a folder and one is not; compare two datasets or two recipes.")
    if not one.is_dir():
        plain = [load_recipe(path, roots=False).model_dump(mode="json") for path in (one, other)]
        found = tuple(differences(*plain))
        return Diff(same=not found, recipe=found, index=(), samples=None)
    indices = [load_index(path) for path in (one, other)]
    recipes = [read_resolved(path / layout.RECIPE) for path in (one, other)]
    return Diff(
        same=indices[0].digest == indices[1].digest,
        recipe=tuple(differences(*recipes)),
        index=tuple(differences(*map(_figures, indices))),
        samples=_compare(_samples(one, indices[0], 0), _samples(other, indices[1], 1)),
    )


def _figures(index: IndexSchema) -> dict[str, Any]:
    splits = {split: part.model_dump() for split, part in index.splits.items()}
    return index.model_dump(mode="json", include=_IDENTITY) | {"splits": splits}


class _Sample(NamedTuple):
    """One sample of set number `of`; both sets are in the order of these fields."""

    split: int
    scene: int
    look: str
    of: int
    name: str
    digest: str


def _samples(folder: Path, index: IndexSchema, of: int) -> Iterator[_Sample]:
    """All samples of a set, looks of a scene by their names; one shard at a time is read."""
    for file in index.shards:
        reader, split = ShardReader(folder / file.name), SPLITS.index(str(file.split))
        columns = (reader.column(name).tolist() for name in ("scene", "look", "sample_id", "digest"))
        looks = reader.header.looks
        rows = zip(*columns, strict=True)
        yield from sorted(_Sample(split, scene, looks[look], of, *rest) for scene, look, *rest in rows)


def _compare(a: Iterator[_Sample], b: Iterator[_Sample]) -> ComparedSamples:
    counts: Counter[str] = Counter()
    first: list[str] = []
    for _, group in groupby(heapq.merge(a, b), key=lambda sample: sample[:3]):
        pair = list(group)
        if len(pair) == 1:
            counts["only_b" if pair[0].of else "only_a"] += 1
        elif pair[0].digest == pair[1].digest:
            counts["equal"] += 1
        else:
            counts["unequal"] += 1
            if len(first) < _NAMED:
                first.append(pair[0].name)
    return ComparedSamples(
        **{kind: counts[kind] for kind in ("equal", "unequal", "only_a", "only_b")}, first=tuple(first)
    )
