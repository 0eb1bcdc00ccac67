"""From a recipe to a dataset, start to end."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from smearsynth.cells import bank as banks
from smearsynth.dataset import layout, state
from smearsynth.dataset.card import make_card
from smearsynth.dataset.index import add_files, make_index, write_index
from smearsynth.dataset.sheet import read_panels, save_sheet
from smearsynth.dataset.state import Identity
from smearsynth.engines import ENGINES
from smearsynth.engines.work import STAGES, BuildPlan, Built, peak_mb, warm_up
from smearsynth.errors import UserError
from smearsynth.recipe import Recipe, resolved_yaml
from smearsynth.verbs.check import check_publish
from smearsynth.verbs.prepare import Cells, checked_workers, find_cells, make_plan, read_recipe, target


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """What was built, and how fast.

    digest: of the dataset. smears: samples in it; built: those that were not there before. seconds: from
    planning to the index, bank and compilation apart; per_second: samples built in one of them, per_core: by
    one worker. stages_ms: milliseconds of one core per built sample. peak_mb: largest resident memory of any
    one process, MB. unread: a sentence per source file that could not be read and was left out.
    """

    digest: str
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
    resume: bool = False,
    overwrite: bool = False,
    limit: int | None = None,
    bank: str | Path | None = None,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> BuildResult:
    """Builds the dataset of a recipe in `out` (default ./NAME).

    workers: processes, by default one per core. limit: most scenes per split; a later `resume` with a larger
    one or none extends the set. bank: file of a ready bank; then no source is read. overrides: "path=value"
    each, laid over the recipe. progress: bars on stderr where that is a terminal. Raises UserError for what
    the user can mend, before a dataset is touched. Whatever interrupts the work leaves finished shards under
    their final names and no index.
    """
    if engine not in ENGINES:
        raise UserError(f"There is no engine {engine!r}: choose one of {', '.join(ENGINES)}.")
    recipe = read_recipe(recipe_path, overrides, limit=limit, roots=bank is None and not resume)
    check_publish(recipe)
    workers, out = checked_workers(workers), target(recipe_path, out, overrides)
    layout.check_target(out, resume=resume, overwrite=overwrite)
    cells = find_cells(
        recipe_path, overrides, bank=bank, resumed=out if resume else None, workers=workers, progress=progress
    )
    plan, identity = make_plan(recipe, cells.bank, out)
    warm_up(plan)
    with layout.locked(out):
        if overwrite:
            layout.clear(out)
        if (out / layout.IDENTITY).exists():
            state.check_same(out, identity)
            state.check_growing(out, recipe.count, plan.identity)
        _write_head(recipe, cells, plan, identity)
        started = time.perf_counter()
        with _bar(plan, progress) as bar:
            built = ENGINES[engine](plan, workers=workers, progress=bar.update)
        digest = _write_tail(recipe, cells, plan, built)
        return _result(out, digest, built, time.perf_counter() - started, workers, cells.unread)


def _write_head(recipe: Recipe, cells: Cells, plan: BuildPlan, identity: Identity) -> None:
    """All that a resumed build needs; from here until the tail the folder has no index."""
    out = plan.out
    (out / layout.INDEX).unlink(missing_ok=True)
    layout.write_json(out, layout.IDENTITY, asdict(identity))
    layout.write_text(out, layout.RECIPE, resolved_yaml(recipe))
    layout.write_json(out, layout.SOURCES, cells.sources)
    if cells.lock:
        layout.write_text(out, layout.LOCK, cells.lock)
    kept = out / layout.BANK
    # A bank that lies there and was not read may be damaged.
    if cells.file != kept or not kept.is_file():
        banks.save(cells.bank, out / layout.STATE / layout.BANK)
        (out / layout.STATE / layout.BANK).replace(kept)


def _write_tail(recipe: Recipe, cells: Cells, plan: BuildPlan, built: Sequence[Built]) -> str:
    """Everything made from the shards, the index last; gives the dataset digest."""
    out = plan.out
    index = make_index(
        out,
        name=recipe.name,
        header=plan.header,
        size=recipe.size,
        bank=cells.bank,
        records=[b.record for b in built],
        sources=cells.sources,
    )
    save_sheet(read_panels(out), out / layout.PREVIEW)
    layout.write_text(out, layout.CARD, make_card(index, publish=recipe.publish))
    extras = (layout.RECIPE, layout.BANK, layout.LOCK, layout.CARD, layout.PREVIEW)
    add_files(out, index, [name for name in extras if (out / name).is_file()])
    for leftover in (out / layout.STATE).glob("*.part"):
        leftover.unlink()
    write_index(out, index)
    return str(index["digest"])


def _bar(plan: BuildPlan, progress: bool) -> Any:
    """Without tqdm's monitor, a thread that would not survive the fork of the workers."""
    tqdm.monitor_interval = 0
    total = sum(job.stop - job.first for job in plan.jobs) * len(plan.header.looks)
    return tqdm(total=total, unit=" smears", desc=plan.out.name, disable=None if progress else True)


def _result(
    out: Path, digest: str, built: Sequence[Built], seconds: float, workers: int, unread: tuple[str, ...]
) -> BuildResult:
    fresh = [b for b in built if b.stages_ns]
    samples = sum(b.record.samples for b in fresh)
    spent = sum((Counter(b.stages_ns) for b in fresh), Counter())
    return BuildResult(
        digest=digest,
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
