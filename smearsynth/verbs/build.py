"""From a recipe to a dataset, start to end; or to a slice of its shards, which `finish` makes a dataset of.

A set is begun and finished by one process alone, and its shards are built by any number together (see
`dataset.layout` for the files and who holds the folder's lock).
"""

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from smearsynth.bank.bank_file import save_bank
from smearsynth.base.errors import UserError, WorkError
from smearsynth.base.progress import ProgressBar, with_progress
from smearsynth.base.workers import checked_workers, peak_mb
from smearsynth.dataset import build_state, layout
from smearsynth.dataset.card import make_card
from smearsynth.dataset.contact_sheet import read_panels, save_sheet
from smearsynth.dataset.croissant import make_croissant
from smearsynth.dataset.index import Index, ShardRecord, add_files, claim_of, make_index, write_index
from smearsynth.engines import find_engine
from smearsynth.engines.build_plan import BuildPlan, jobs_of, make_plan, name_slices, read_plan, read_slice
from smearsynth.engines.shard_job import STAGES, finished_shard, warm_up
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import resolved_yaml
from smearsynth.verbs.check import check_publish
from smearsynth.verbs.preparation import PreparedCells, prepare_cells, read_recipe, recorded_sources, target

_SHOWN = 5
"""Missing shards that are named, at most."""


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What was built, and how fast.

    digest: of the dataset, "" after a slice, which smears and all else are of. claim: whether it is the set that its
    recipe calls frozen, in a sentence, "" where there is none. smears: samples in it; built: those that were not there
    before. seconds: from planning to the index, bank and compilation apart; per_second: samples built in one of them,
    per_core: by one worker. stages_ms: milliseconds of one core per built sample. peak_mb: most memory that any one
    process held, MB of 10^6 bytes. unread: a sentence per source file that could not be read and was left out.
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
    """Builds the dataset of the recipe in the file `recipe_path` in `out` (default ./NAME).

    resume: go on with a build that was interrupted. overwrite: replace a set that is there. workers: processes, by
    default one per core. engine: "local", or "dask", which builds shards on the Dask cluster whose `scheduler` is at
    that address, or on one that it starts here (call it under a main guard then). limit: most scenes per split; a later
    `resume` with a larger one or none extends the set. shards: "A:B", build only these, into a folder that others may
    build the rest in meanwhile, and write no index: `finish` does. bank: file of a ready bank; then no source is read.
    overrides: "path=value" each, laid over the recipe. progress: bars on stderr, or lines in a log. Raises
    UserError for what the user can mend, before a dataset is touched. Whatever interrupts the work leaves finished
    shards under their final names and no index.

    >>> cells = "quickstart/cells.h5"
    >>> built = smearsynth.build("recipes/quickstart.yaml", out="small", limit=4, bank=cells, progress=False)
    >>> built.smears, built.digest == smearsynth.open("small").digest
    (12, True)
    """
    workers = checked_workers(workers)
    build_shards = find_engine(engine, workers=workers, scheduler=scheduler)
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
    cells = prepare_cells(recipe, bank=bank, resumed=out if resume else None, workers=workers, progress=progress)
    plan = make_plan(recipe, cells.bank, out)
    if numbers is not None:
        plan = replace(plan, jobs=plan.jobs[numbers.start : numbers.stop])
    warm_up(plan, workers=workers, progress=progress)
    resolved = resolved_yaml(recipe)
    if numbers is None:
        _begin(recipe, resolved, cells, plan, overwrite=overwrite)
    else:
        _begin_slice(recipe, resolved, cells, plan)
    started = time.perf_counter()
    with layout.locked(out, shared=True, patience=layout.PATIENCE_OF_SLICES), _bar(plan, progress) as bar:
        _check_begun(resolved, plan)
        built = build_shards(plan, progress=bar.update)
    digest = claim = ""
    if numbers is None:
        with layout.locked(out, patience=layout.PATIENCE_OF_SLICES):
            _check_begun(resolved, plan)
            # Of a shard that two have built, what lies there may be the other's.
            records = [build_state.marked(out, b.record.name, plan.identity.hash) or b.record for b in built]
            index = _complete(recipe, plan, records)
        digest, claim = index["digest"], claim_of(index)
    seconds = time.perf_counter() - started
    fresh = [b for b in built if b.stages_ns]
    samples = sum(b.record.samples for b in fresh)
    spent = sum((Counter(b.stages_ns) for b in fresh), Counter())
    busy = workers if scheduler is None else len({b.worker for b in built})
    return BuildResult(
        digest=digest,
        claim=claim,
        smears=sum(b.record.samples for b in built),
        built=samples,
        seconds=round(seconds, 3),
        per_second=round(samples / seconds, 1),
        per_core=round(samples / seconds / busy, 1),
        stages_ms={stage: round(spent[stage] / 1e6 / max(samples, 1), 4) for stage in STAGES},
        peak_mb=round(max(peak_mb(), *(b.peak_mb for b in built)), 1),
        unread=cells.unread,
        out=out,
    )


def _begin(recipe: Recipe, resolved: str, cells: PreparedCells, plan: BuildPlan, *, overwrite: bool) -> None:
    """For a whole set: nobody else writes to it. From here until it is finished the folder has no index.

    Raises UserError that names what differs where the folder holds another set, or a larger one.
    """
    with layout.locked(plan.out):
        if overwrite:
            layout.clear(plan.out)
        _write_common(recipe, resolved, cells, plan)


def _begin_slice(recipe: Recipe, resolved: str, cells: PreparedCells, plan: BuildPlan) -> None:
    """For a slice: where another slice of the same set has begun, there is nothing to do. Raises as `_begin`."""
    if (plan.out / layout.IDENTITY).exists():
        build_state.check_same(plan.out, plan.identity)
    if _is_begun(resolved, plan):
        return
    with layout.locked(plan.out, patience=layout.PATIENCE_OF_SLICES):
        if not _is_begun(resolved, plan):
            _write_common(recipe, resolved, cells, plan)


def _write_common(recipe: Recipe, resolved: str, cells: PreparedCells, plan: BuildPlan) -> None:
    """What all shards of the set have in common, the bank last. The caller holds the lock alone."""
    out = plan.out
    if (out / layout.IDENTITY).exists():
        build_state.check_same(out, plan.identity)
        build_state.check_growing(out, recipe.count, plan.identity.hash)
    layout.sweep(out)
    (out / layout.INDEX).unlink(missing_ok=True)
    layout.write_json(out, layout.IDENTITY, asdict(plan.identity))
    layout.write_text(out, layout.RECIPE, resolved)
    layout.write_json(out, layout.SOURCES, cells.sources)
    if cells.lock:
        layout.write_text(out, layout.LOCK, cells.lock)
    # A bank that is there and was not read may be damaged.
    if cells.file != out / layout.BANK or not (out / layout.BANK).is_file():
        with layout.written(out, layout.BANK) as part:
            save_bank(cells.bank, part)


def _check_begun(resolved: str, plan: BuildPlan) -> None:
    """UserError where the folder is no longer what was begun. The caller holds its lock."""
    build_state.check_same(plan.out, plan.identity)
    if not _is_begun(resolved, plan):
        raise UserError(
            f"{plan.out} was begun anew meanwhile, with another recipe: give each a folder of its own", "out"
        )


def _is_begun(resolved: str, plan: BuildPlan) -> bool:
    """Whether all is there that a set of this resolved recipe begins with, the bank being written last."""
    bank, recipe = plan.out / layout.BANK, plan.out / layout.RECIPE
    return bank.is_file() and recipe.is_file() and recipe.read_text(encoding="utf-8") == resolved


def _bar(plan: BuildPlan, progress: bool) -> ProgressBar:
    """Over the samples."""
    total = sum(job.stop - job.first for job in plan.jobs) * len(plan.header.looks)
    return ProgressBar(what=plan.out.name, unit="smears", total=total, shown=progress)


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

    path: its folder. Every shard is read and held against the checksum that its builder left. On a set that is whole
    already the same files are written again. workers: shards read at a time, by default one per core. progress: a bar
    on stderr, or lines in a log. Raises UserError where no slice was built, where slices are still being built,
    where another version built them, and where shards are missing, with the slices that build them.

    >>> smearsynth.finish("quickstart", progress=False).smears
    500
    """
    out, workers = Path(path), checked_workers(workers)
    if not (out / layout.IDENTITY).is_file():
        raise UserError(f"{out} holds no set that was begun: build its slices first, by `smearsynth build --shards`.")
    with layout.locked(out):
        recipe, plan = read_plan(out)
        build_state.check_same(out, plan.identity)
        index = _complete(recipe, plan, _finished_shards(plan, workers, progress))
    return Finished(digest=index["digest"], claim=claim_of(index), smears=index["samples"], out=out)


def _finished_shards(plan: BuildPlan, workers: int, progress: bool) -> list[ShardRecord]:
    """Of every shard of the set; UserError that names those that are missing."""
    found: list[ShardRecord | None] = []
    # Threads, for nearly all the time goes into reading and hashing.
    with ThreadPoolExecutor(workers) as pool:
        records = pool.map(lambda number: finished_shard(plan, number), range(len(plan.jobs)))
        found += with_progress(records, what="read", unit="shards", total=len(plan.jobs), shown=progress)
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


def _complete(recipe: Recipe, plan: BuildPlan, records: Sequence[ShardRecord]) -> Index:
    """Everything made from the shards, the index last, which it gives. The caller holds the lock alone.

    records: of every shard of the set, in dataset order. Raises WorkError where the set should be the frozen one of
    its recipe and is not; it is whole then, and can be compared.
    """
    out = plan.out
    sources = recorded_sources(out)
    index = make_index(out, recipe=recipe, header=plan.header, bank=plan.bank, records=records, sources=sources)
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
