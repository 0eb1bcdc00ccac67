"""What a build would give, before it is made: a contact sheet (`preview`), what it will take (`dry_run`), and how fast
smears are made here (`bench`)."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smearsynth.bank.bank_file import load_bank
from smearsynth.base.errors import UserError
from smearsynth.base.workers import checked_workers
from smearsynth.dataset import layout
from smearsynth.dataset.contact_sheet import Panel, chosen, read_panels, save_sheet
from smearsynth.dataset.index import SceneTally
from smearsynth.engines.build_plan import BuildPlan, Job, jobs_of, make_plan, propose_slices
from smearsynth.engines.shard_job import Clock, pack_samples, warm_up
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.reading import check_roots
from smearsynth.rendering.looks import render
from smearsynth.taxonomy import CLASSES
from smearsynth.verbs.build import build
from smearsynth.verbs.preparation import prepare_cells, read_recipe, target

_TRIED = 24
"""Scenes that are made to measure time and size; that gives either to about 10 %."""
_BYTES_PER_PX = 1.4
_MS_PER_PX = 5.5e-5
"""Where no bank is at hand: a gzip sample of recipes/smear10-research.yaml, look natural, on one core at 2.6 GHz."""
SMEARS = 2000
"""That `bench` makes by default; the figures of fewer vary too much."""


def preview(
    path: str | Path,
    *,
    out: str | Path | None = None,
    bank: str | Path | None = None,
    workers: int | None = None,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> Path:
    """Writes the sheet as PNG and gives its path: `out`, else NAME.png in the working directory, after the recipe or
    the dataset's folder. A dataset is left as it is: its files are sealed by its index.

    path: a dataset's folder or a recipe. bank, overrides: as for `build`, of a recipe only; workers: cut its cells.
    progress: bars on stderr, or lines in a log. Raises UserError.

    >>> smearsynth.preview("quickstart", out="sheet.png").name
    'sheet.png'
    """
    path, sheet = Path(path), Path(out) if out is not None else None
    if sheet is not None:
        layout.check_outside(sheet)
    if path.is_dir():
        if bank is not None or overrides:
            raise UserError(
                f"{path} is a dataset, which is shown as it is: leave these out, or name a recipe", "bank", "overrides"
            )
        sheet = sheet or Path(f"{path.resolve().name}.png")
        layout.check_outside(sheet)
        save_sheet(*read_panels(path), sheet)
        return sheet
    recipe = read_recipe(path, overrides, roots=bank is None)
    sheet = sheet or Path(f"{recipe.name}.png")
    layout.check_outside(sheet)
    cells = prepare_cells(recipe, bank=bank, resumed=None, workers=checked_workers(workers), progress=progress)
    plan = make_plan(recipe, cells.bank, sheet.parent)
    save_sheet(_panels(plan), CLASSES, sheet)
    return sheet


def _panels(plan: BuildPlan) -> list[Panel]:
    first = plan.jobs[0]
    scenes = [plan.planner.plan(first.split, index) for index in chosen(first.stop)]
    looks = range(len(plan.header.looks))
    return [Panel(images=[render(s, look, plan.bank) for look in looks], label=s.label) for s in scenes]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """scenes, shards: per split. slices: a proposal, as the `shards` of `build`. bytes, seconds: of the whole set, with
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
    workers = checked_workers(workers)
    recipe = read_recipe(recipe_path, overrides, limit=limit, roots=False)
    out = target(recipe, out)
    file = Path(bank) if bank is not None else out / layout.BANK
    at_hand = bank is not None or file.is_file()
    if not at_hand:
        check_roots(recipe)
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


def forecast_text(f: Forecast) -> str:
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
    plan = make_plan(recipe, load_bank(bank), bank.parent)
    first = plan.jobs[0]
    tried = Job(split=first.split, ordinal=0, first=0, stop=min(first.stop, _TRIED))
    warm_up(plan)
    clock, sizes = Clock(), []
    for packed in pack_samples(plan, tried, SceneTally(plan.bank.source, len(plan.bank.sources)), clock):
        sizes.append(sum(len(chunk) for chunk in packed.chunks.values()))
    return sum(sizes) / len(sizes), sum(clock.spent.values()) / 1e6 / len(sizes)


def _estimated(recipe: Recipe) -> tuple[float, float]:
    pixels = recipe.size[0] * recipe.size[1]
    plain = 6 * pixels + 56 * recipe.scene.rows(recipe.size)
    return (plain if recipe.shards.codec == "none" else _BYTES_PER_PX * pixels), _MS_PER_PX * pixels


def bench(
    recipe_path: str | Path,
    *,
    bank: str | Path | None = None,
    smears: int = SMEARS,
    workers: int = 1,
    overrides: Sequence[str] = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Builds `smears` scenes of the recipe's train split, into a folder that is thrown away, and gives what that took;
    bank and compilation are not counted. recipe_path, bank, workers, overrides, progress: as for `build`.

    Keys: digest, smears, seconds, per_second, per_core, stages_ms (plan, render, digest, deflate, write;
    milliseconds of one core per smear), peak_mb. What the stages do not hold of the end-to-end time is start,
    index, card and preview.

    >>> figures = smearsynth.bench("recipes/quickstart.yaml", bank="quickstart/cells.h5", smears=8, progress=False)
    >>> figures["smears"], list(figures["stages_ms"])
    (8, ['plan', 'render', 'digest', 'deflate', 'write'])
    """
    count = f"count={{train: {smears}, val: 0, test: 0}}"
    with tempfile.TemporaryDirectory(prefix="smearsynth-bench-") as folder:
        result = build(
            recipe_path,
            out=Path(folder) / "bench",
            workers=workers,
            bank=bank,
            overrides=(*overrides, count),
            progress=progress,
        )
    return {name: value for name, value in asdict(result).items() if name not in ("out", "built", "unread", "claim")}


def bench_text(figures: dict[str, Any]) -> str:
    """The figures for a person."""
    whole = 1000 / figures["per_core"]
    stages = dict(figures["stages_ms"])
    stages["rest"] = whole - sum(stages.values())
    lines = [f"{'stage':<10}{'ms':>9}{'share':>8}"]
    lines += [f"{name:<10}{ms:>9.3f}{ms / whole:>8.1%}" for name, ms in stages.items()]
    lines += [
        f"{'all':<10}{whole:>9.3f}{1:>8.1%}",
        "",
        f"{figures['smears']} smears in {figures['seconds']:.2f} s: {figures['per_second']:.1f} per second, "
        f"{figures['per_core']:.1f} per core; peak {figures['peak_mb']:.0f} MB",
        f"digest {figures['digest']}",
    ]
    return "\n".join(lines)
