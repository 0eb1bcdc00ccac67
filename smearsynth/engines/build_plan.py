"""What is to be built: the shards of a set, and all that a worker needs to build any of them.

A plan is made from a recipe and a bank, so a worker on another machine can read it from the set's own folder
instead of being sent the bank.

`count` in a recipe counts scenes: with several looks every scene gives one sample per look, in adjacent rows of one
shard. So a shard of `shards.samples` samples holds samples // looks scenes, at least one. Shards are numbered through
all splits, in dataset order; a slice is a range of these numbers, which one machine of several builds.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from smearsynth.bank.bank import Bank
from smearsynth.bank.bank_file import load_bank
from smearsynth.base.errors import UserError
from smearsynth.dataset import layout
from smearsynth.dataset.build_state import Identity
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import load_recipe
from smearsynth.scene.planner import Planner
from smearsynth.scene.scene import OBJECT_FIELDS
from smearsynth.shards.format import FORMAT_VERSION, WITH_PARASITES, Header
from smearsynth.taxonomy import SPLITS

_MOST_SLICES = 8
"""That are proposed, at most."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Scenes `first` to `stop` - 1 of a split, which make shard `ordinal` of that split."""

    split: str
    ordinal: int
    first: int
    stop: int

    @property
    def name(self) -> str:
        return layout.shard_name(self.split, self.ordinal)


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """All that a worker needs.

    out: folder of the set. header: of all shards, its split left open. size: (H, W) of a sample, px. max_objects: rows
    of `objects` of a sample. identity: what the set has in common with an earlier build that it goes on with. jobs: in
    dataset order.
    """

    out: Path
    planner: Planner
    bank: Bank
    header: Header
    size: tuple[int, int]
    max_objects: int
    codec: str
    identity: Identity
    jobs: tuple[Job, ...]

    def largest_first(self) -> list[int]:
        """Numbers of the jobs, those of most scenes first, so that no engine ends on a large one."""
        return sorted(range(len(self.jobs)), key=lambda number: self.jobs[number].first - self.jobs[number].stop)


def jobs_of(recipe: Recipe) -> tuple[Job, ...]:
    """The shards of a recipe in dataset order, the last of each split partial."""
    scenes = max(1, recipe.shards.samples // len(recipe.looks))
    count = {str(split): number for split, number in recipe.count.items()}
    return tuple(
        Job(split=split, ordinal=ordinal, first=first, stop=min(first + scenes, count[split]))
        for split in SPLITS
        if split in count
        for ordinal, first in enumerate(range(0, count[split], scenes))
    )


def make_plan(recipe: Recipe, bank: Bank, out: Path) -> BuildPlan:
    """The plan of all shards of a recipe, drawn from that bank."""
    header = Header(
        split="",
        looks=tuple(look.name for look in recipe.looks),
        recipe_hash=recipe.sample_hash(),
        bank_digest=bank.digest,
        fields=OBJECT_FIELDS,
        format_version=WITH_PARASITES if bank.has_parasites else FORMAT_VERSION,
    )
    return BuildPlan(
        out=out,
        planner=Planner(recipe.scene, recipe.looks, recipe.size, recipe.seed, bank, recipe.cells.mix),
        bank=bank,
        header=header,
        size=recipe.size,
        max_objects=recipe.scene.rows(recipe.size),
        codec=recipe.shards.codec,
        identity=Identity.of(recipe.model_dump(mode="json"), bank.digest, header.format_version),
        jobs=jobs_of(recipe),
    )


def read_plan(out: Path) -> tuple[Recipe, BuildPlan]:
    """The recipe and the plan of a set that was begun, from its own folder.

    Raises UserError where either cannot be read; whether the set is of this identity is for the caller to ask.
    """
    recipe = load_recipe(out / layout.RECIPE, roots=False)
    return recipe, make_plan(recipe, load_bank(out / layout.BANK), out)


def read_slice(text: str, shards: int) -> range:
    """The numbers in "A:B", A to B - 1; a B past the last shard is the last. UserError where that is none."""
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(f"{text!r} is no slice: give A:B with A < B, such as 0:8 for the first eight shards", "shards")
    if int(match[1]) >= shards:
        raise UserError(f"the slice is {text}, and the set has {shards} shards, numbered from 0: lower A", "shards")
    return range(int(match[1]), min(int(match[2]), shards))


def propose_slices(shards: int, workers: int) -> tuple[str, ...]:
    """Equal slices that together are the set, each of some shards for every worker of a machine."""
    each = -(-shards // _MOST_SLICES)
    each = -(-each // workers) * workers
    return tuple(f"{first}:{min(first + each, shards)}" for first in range(0, shards, each))


def name_slices(numbers: Iterable[int]) -> tuple[str, ...]:
    """The fewest slices that hold just these numbers, which ascend."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, number + 1])
    return tuple(f"{first}:{stop}" for first, stop in runs)
