"""The last part of a build: from shards that are all there to a whole set."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from smearsynth.dataset import layout, state
from smearsynth.dataset.card import make_card
from smearsynth.dataset.claim import claim_of
from smearsynth.dataset.croissant import make_croissant
from smearsynth.dataset.index import Index, add_files, make_index, write_index
from smearsynth.dataset.record import ShardRecord
from smearsynth.dataset.sheet import read_panels, save_sheet
from smearsynth.engines.plan import BuildPlan, read_plan
from smearsynth.engines.slices import name_slices
from smearsynth.engines.work import finished_shard
from smearsynth.errors import UserError, WorkError
from smearsynth.recipe import Recipe
from smearsynth.verbs.prepare import checked_workers, told_sources

_SHOWN = 5
"""Missing shards that are named, at most."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A whole set: its dataset digest, whether it is the frozen set of its recipe, in a sentence ("" where that calls
    none frozen), and the samples in it."""

    digest: str
    claim: str
    smears: int
    out: Path


def finish(path: str | Path, *, workers: int | None = None, progress: bool = True) -> Finished:
    """Writes the index, and all else that is made from the shards, of a set that was built in slices.

    Every shard is read and held against the checksum that its builder left. On a set that is whole already the same
    files are written again. workers: shards read at a time, by default one per core. progress: a bar on stderr where
    that is a terminal. Raises UserError where no slice was built, where slices are still being built, where another
    version built them, and where shards are missing, with the slices that build them.
    """
    out, workers = Path(path), checked_workers(workers)
    if not (out / layout.IDENTITY).is_file():
        raise UserError(f"{out} holds no set that was begun: build its slices first, by `smearsynth build --shards`.")
    with layout.locked(out):
        recipe, plan, identity = read_plan(out)
        state.check_same(out, identity)
        records = _records(plan, workers, progress)
        index = complete(recipe, plan, records)
    return Finished(digest=index["digest"], claim=claim_of(index), smears=index["samples"], out=out)


def complete(recipe: Recipe, plan: BuildPlan, records: Sequence[ShardRecord]) -> Index:
    """Everything made from the shards, the index last, which it gives. The caller holds the lock alone.

    records: of every shard of the set, in dataset order. Raises WorkError where the set should be the frozen one of
    its recipe and is not; it is whole then, and can be compared.
    """
    out = plan.out
    index = make_index(
        out,
        recipe=recipe,
        header=plan.header,
        bank=plan.bank,
        records=records,
        sources=told_sources(out),
    )
    with layout.written(out, layout.PREVIEW) as part:
        save_sheet(*read_panels(out), part)
    extras = (layout.RECIPE, layout.BANK, layout.LOCK, layout.PREVIEW)
    add_files(out, index, [name for name in extras if (out / name).is_file()])
    layout.write_text(out, layout.CARD, make_card(index))
    add_files(out, index, [layout.CARD])
    layout.write_json(out, layout.CROISSANT, make_croissant(index))
    add_files(out, index, [layout.CROISSANT])
    layout.sweep(out)
    write_index(out, index)
    if index["claim"] and index["claim"]["wrong"]:
        raise WorkError(f"{out}: {claim_of(index)}")
    return index


def _records(plan: BuildPlan, workers: int, progress: bool) -> list[ShardRecord]:
    """Of every shard of the set; UserError that names those that are missing."""
    found: list[ShardRecord | None] = []
    # Threads, for nearly all the time goes into reading and hashing.
    with ThreadPoolExecutor(workers) as pool:
        records = pool.map(lambda number: finished_shard(plan, number), range(len(plan.jobs)))
        found += tqdm(records, "shards", len(plan.jobs), disable=None if progress else True)
    missing = [number for number, record in enumerate(found) if record is None]
    if missing:
        names = ", ".join(plan.jobs[number].name for number in missing[:_SHOWN])
        names += f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise UserError(
            f"{len(missing)} of the {len(found)} shards of {plan.out} are missing or damaged ({names}): build them as "
            f"the others, by `smearsynth build RECIPE --out {plan.out} --shards A:B` with A:B "
            f"{', '.join(name_slices(missing))}."
        )
    return [record for record in found if record is not None]
