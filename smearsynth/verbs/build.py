"""The first part of a build: what all shards of a set have in common is written, once, by whoever comes first.

The last part of a build: from shards that are all there to a whole set.

From a recipe to a dataset, start to end; or to a slice of its shards, which `finish` makes a dataset of.

A set is begun and finished by one process alone, and its shards are built by any number together.
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from smearsynth.bank.bank_file import save_bank
from smearsynth.base.errors import UserError, WorkError
from smearsynth.dataset import build_state, layout
from smearsynth.dataset.build_state import Identity
from smearsynth.dataset.card import make_card
from smearsynth.dataset.contact_sheet import read_panels, save_sheet
from smearsynth.dataset.croissant import make_croissant
from smearsynth.dataset.index import Index, ShardRecord, add_files, claim_of, make_index, write_index
from smearsynth.engines import find_engine
from smearsynth.engines.build_plan import BuildPlan, jobs_of, make_plan, name_slices, read_plan, read_slice
from smearsynth.engines.shard_job import STAGES, Built, finished_shard, peak_mb, warm_up
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import resolved_yaml
from smearsynth.verbs.check import check_publish
from smearsynth.verbs.preparation import Cells, checked_workers, find_cells, read_recipe, target, told_sources


def begin(recipe: Recipe, cells: Cells, plan: BuildPlan, identity: Identity, *, overwrite: bool) -> None:
    """For a whole set: nobody else writes to it. From here until it is finished the folder has no index.

    Raises UserError that names what differs where the folder holds another set, or a larger one.
    """
    with layout.locked(plan.out):
        if overwrite:
            layout.clear(plan.out)
        _begin(recipe, cells, plan, identity)


def begin_slice(recipe: Recipe, cells: Cells, plan: BuildPlan, identity: Identity) -> None:
    """For a slice: where another slice of the same set has begun, there is nothing to do. Raises as `begin`."""
    if (plan.out / layout.IDENTITY).exists():
        build_state.check_same(plan.out, identity)
    if _begun(recipe, plan):
        return
    with layout.locked(plan.out, patience=layout.PATIENCE_OF_SLICES):
        if not _begun(recipe, plan):
            _begin(recipe, cells, plan, identity)


def check_begun(recipe: Recipe, plan: BuildPlan, identity: Identity) -> None:
    """UserError where the folder is no longer what was begun. The caller holds its lock."""
    build_state.check_same(plan.out, identity)
    if not _begun(recipe, plan):
        raise UserError(
            f"{plan.out} was begun anew meanwhile, with another recipe: give each a folder of its own", "out"
        )


def _begun(recipe: Recipe, plan: BuildPlan) -> bool:
    """Whether all is there that a set of this recipe begins with, the bank being written last."""
    bank, told = plan.out / layout.BANK, plan.out / layout.RECIPE
    return bank.is_file() and told.is_file() and told.read_text(encoding="utf-8") == resolved_yaml(recipe)


def _begin(recipe: Recipe, cells: Cells, plan: BuildPlan, identity: Identity) -> None:
    out = plan.out
    if (out / layout.IDENTITY).exists():
        build_state.check_same(out, identity)
        build_state.check_growing(out, recipe.count, plan.identity)
    layout.sweep(out)
    (out / layout.INDEX).unlink(missing_ok=True)
    layout.write_json(out, layout.IDENTITY, asdict(identity))
    layout.write_text(out, layout.RECIPE, resolved_yaml(recipe))
    layout.write_json(out, layout.SOURCES, cells.sources)
    if cells.lock:
        layout.write_text(out, layout.LOCK, cells.lock)
    kept = out / layout.BANK
    # A bank that lies there and was not read may be damaged.
    if cells.file != kept or not kept.is_file():
        with layout.written(out, layout.BANK) as part:
            save_bank(cells.bank, part)


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
        build_state.check_same(out, identity)
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


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What was built, and how fast.

    digest: of the dataset, "" after a slice, which smears and all else are of. claim: whether it is the set that its
    recipe calls frozen, in a sentence, "" where there is none. smears: samples in it; built: those that were not there
    before. seconds: from planning to the index, bank and compilation apart; per_second: samples built in one of them,
    per_core: by one worker. stages_ms: milliseconds of one core per built sample. peak_mb: largest resident memory of
    any one process, MB. unread: a sentence per source file that could not be read and was left out.
    """

    digest: str
    claim: str
    smears: int
    built: int
    seconds: float
    per_second: float
    per_core: float
    stages_ms: dict[str, float]
    peak_mb: float
    unread: tuple[str, ...]
    out: Path


def build(
    recipe_path: str | Path,
    *,
    out: str | Path | None = None,
    workers: int | None = None,
    engine: str = "local",
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    limit: int | None = None,
    shards: str | None = None,
    bank: str | Path | None = None,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> BuildResult:
    """Builds the dataset of a recipe in `out` (default ./NAME).

    workers: processes, by default one per core. engine: "local", or "dask", which builds shards on the Dask cluster
    whose `scheduler` is at that address, or on one that it starts here (call it under a main guard then). limit: most
    scenes per split; a later `resume` with a larger one or none extends the set. shards: "A:B", build only these, into
    a folder that others may build the rest in meanwhile, and write no index: `finish` does. bank: file of a ready
    bank; then no source is read. overrides: "path=value" each, laid over the recipe. progress: bars on stderr where
    that is a terminal. Raises UserError for what the user can mend, before a dataset is touched. Whatever interrupts
    the work leaves finished shards under their final names and no index.
    """
    workers = checked_workers(workers)
    run = find_engine(engine, workers=workers, scheduler=scheduler)
    recipe = read_recipe(recipe_path, overrides, limit=limit, roots=bank is None and not resume and shards is None)
    check_publish(recipe)
    numbers = read_slice(shards, len(jobs_of(recipe))) if shards is not None else None
    if numbers and overwrite:
        raise UserError(
            "a slice overwrites nothing, for others may build there: name another folder", "shards", "overwrite", "out"
        )
    resume = resume or numbers is not None
    out = target(recipe, out)
    layout.check_target(out, resume=resume, overwrite=overwrite)
    cells = find_cells(recipe, bank=bank, resumed=out if resume else None, workers=workers, progress=progress)
    whole, identity = make_plan(recipe, cells.bank, out)
    plan = whole if numbers is None else replace(whole, jobs=whole.jobs[numbers.start : numbers.stop])
    warm_up(plan)
    if numbers is None:
        begin(recipe, cells, plan, identity, overwrite=overwrite)
    else:
        begin_slice(recipe, cells, plan, identity)
    started = time.perf_counter()
    with layout.locked(out, shared=True, patience=layout.PATIENCE_OF_SLICES), _bar(plan, progress) as bar:
        check_begun(recipe, plan, identity)
        built = run(plan, progress=bar.update)
    digest = claim = ""
    if numbers is None:
        with layout.locked(out, patience=layout.PATIENCE_OF_SLICES):
            check_begun(recipe, plan, identity)
            # Of a shard that two have built, what lies there may be the other's.
            records = [build_state.marked(out, b.record.name, plan.identity) or b.record for b in built]
            index = complete(recipe, plan, records)
        digest, claim = index["digest"], claim_of(index)
    if scheduler is not None:
        workers = len({b.worker for b in built})
    return _result(out, digest, claim, built, time.perf_counter() - started, workers, cells.unread)


def _bar(plan: BuildPlan, progress: bool) -> Any:
    """Without tqdm's monitor, a thread that would not survive the fork of the workers."""
    tqdm.monitor_interval = 0
    total = sum(job.stop - job.first for job in plan.jobs) * len(plan.header.looks)
    return tqdm(total=total, unit=" smears", desc=plan.out.name, disable=None if progress else True)


def _result(
    out: Path, digest: str, claim: str, built: Sequence[Built], seconds: float, workers: int, unread: tuple[str, ...]
) -> BuildResult:
    fresh = [b for b in built if b.stages_ns]
    samples = sum(b.record.samples for b in fresh)
    spent = sum((Counter(b.stages_ns) for b in fresh), Counter())
    return BuildResult(
        digest=digest,
        claim=claim,
        smears=sum(b.record.samples for b in built),
        built=samples,
        seconds=round(seconds, 3),
        per_second=round(samples / seconds, 1),
        per_core=round(samples / seconds / workers, 1),
        stages_ms={stage: round(spent[stage] / 1e6 / max(samples, 1), 4) for stage in STAGES},
        peak_mb=round(max(peak_mb(), *(b.peak_mb for b in built)), 1),
        unread=unread,
        out=out,
    )
