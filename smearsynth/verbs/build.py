"""From a recipe to a dataset, start to end; or to a slice of its shards, which `finish` makes a dataset of.

A set is begun and finished by one process alone, and its shards are built by any number together.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from smearsynth.dataset import layout, state
from smearsynth.dataset.claim import claim_of
from smearsynth.engines import find_engine
from smearsynth.engines.plan import BuildPlan, jobs_of, make_plan
from smearsynth.engines.slices import read_slice
from smearsynth.engines.work import STAGES, Built, peak_mb, warm_up
from smearsynth.errors import UserError
from smearsynth.verbs.begin import begin, begin_slice, check_begun
from smearsynth.verbs.check import check_publish
from smearsynth.verbs.finish import complete
from smearsynth.verbs.prepare import checked_workers, find_cells, read_recipe, target


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
        raise UserError("--shards and --overwrite exclude each other: others may build there; give another --out.")
    resume = resume or numbers is not None
    out = target(recipe_path, out, overrides)
    layout.check_target(out, resume=resume, overwrite=overwrite)
    cells = find_cells(
        recipe_path, overrides, bank=bank, resumed=out if resume else None, workers=workers, progress=progress
    )
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
            records = [state.marked(out, b.record.name, plan.identity) or b.record for b in built]
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
