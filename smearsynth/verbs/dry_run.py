"""What a build would do, without doing it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smearsynth.cells import bank as banks
from smearsynth.dataset import layout
from smearsynth.dataset.record import Tally
from smearsynth.engines.plan import Job, jobs_of, make_plan
from smearsynth.engines.slices import propose_slices
from smearsynth.engines.work import Clock, pack_samples, warm_up
from smearsynth.recipe import Recipe
from smearsynth.verbs.prepare import checked_workers, read_recipe, target

_TRIED = 24
"""Scenes that are made to measure time and size; that gives either to about 10 %."""
_BYTES_PER_PX = 1.4
_MS_PER_PX = 5.5e-5
"""Where no bank is at hand: a gzip sample of recipes/smear10-research.yaml, look natural, on one core at 2.6 GHz.
"""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """scenes, shards: per split. slices: a proposal, as `--shards` takes them. bytes, seconds: of the whole set, with
    `workers`; measured: by making some scenes of it; else they are estimated from other recipes and may be off by
    half. The bank's making is not in `seconds`.
    """

    name: str
    out: Path
    size: tuple[int, int]
    looks: tuple[str, ...]
    scenes: dict[str, int]
    samples: int
    shards: dict[str, int]
    slices: tuple[str, ...]
    combinations: tuple[str, ...]
    bytes: int
    seconds: float
    workers: int
    measured: bool


def dry_run(
    recipe_path: str | Path,
    *,
    out: str | Path | None = None,
    workers: int | None = None,
    limit: int | None = None,
    bank: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Forecast:
    """The plan of a build and what it will cost; writes nothing and reads no source.

    A bank is at hand where `bank` names one, or where an earlier build left one in `out`.
    """
    workers, out = checked_workers(workers), target(recipe_path, out, overrides)
    file = Path(bank) if bank is not None else out / layout.BANK
    at_hand = bank is not None or file.is_file()
    recipe = read_recipe(recipe_path, overrides, limit=limit, roots=not at_hand)
    jobs = jobs_of(recipe)
    samples = sum(recipe.count.values()) * len(recipe.looks)
    size, ms = _measured(recipe, file) if at_hand else _estimated(recipe)
    return Forecast(
        name=recipe.name,
        out=out,
        size=recipe.size,
        looks=tuple(look.name for look in recipe.looks),
        scenes={str(split): scenes for split, scenes in recipe.count.items()},
        samples=samples,
        shards=dict(Counter(job.split for job in jobs)),
        slices=propose_slices(len(jobs), workers),
        combinations=tuple(c.name for c in recipe.scene.chosen()),
        bytes=round(samples * size),
        seconds=round(samples * ms / 1000 / min(workers, len(jobs)), 1),
        workers=workers,
        measured=at_hand,
    )


def as_text(f: Forecast) -> str:
    """The forecast for a person."""
    splits = [f"{split} {scenes:,} in {f.shards.get(split, 0)} shards" for split, scenes in f.scenes.items()]
    how = "measured on a few of them" if f.measured else "estimated; cells.h5 is not made yet"
    return "\n".join(
        [
            f"{f.name} -> {f.out}",
            f"smears   {f.samples:,} of {f.size[0]}x{f.size[1]} px, looks {', '.join(f.looks)}",
            f"splits   {'; '.join(splits)}",
            f"shards   {sum(f.shards.values())}; on several machines, as --shards {', '.join(f.slices)}",
            f"contents {len(f.combinations)} combinations in turn: {f.combinations[0]} ... {f.combinations[-1]}",
            f"size     about {f.bytes / 1e6:,.0f} MB ({how})",
            f"time     about {f.seconds:,.0f} s with {f.workers} workers, making the bank apart",
        ]
    )


def _measured(recipe: Recipe, bank: Path) -> tuple[float, float]:
    """Bytes and milliseconds of one core per sample, from making a few."""
    plan, _ = make_plan(recipe, banks.load(bank), bank.parent)
    first = plan.jobs[0]
    tried = Job(split=first.split, ordinal=0, first=0, stop=min(first.stop, _TRIED))
    warm_up(plan)
    clock, sizes = Clock(), []
    for packed in pack_samples(plan, tried, Tally(plan.bank.source, len(plan.bank.sources)), clock):
        sizes.append(sum(len(chunk) for chunk in packed.chunks.values()))
    return sum(sizes) / len(sizes), sum(clock.spent.values()) / 1e6 / len(sizes)


def _estimated(recipe: Recipe) -> tuple[float, float]:
    pixels = recipe.size[0] * recipe.size[1]
    plain = 6 * pixels + 56 * recipe.scene.rows(recipe.size)
    return (plain if recipe.shards.codec == "none" else _BYTES_PER_PX * pixels), _MS_PER_PX * pixels
