"""Several trainings under equal budgets, each measured on the same split: one table, and their curves in one picture.

OUT/
  NAME/ ...       a run each, as `training.run_folder` says, and `SPLIT.json`, what `evaluate` said of it, `fields.json`
  budget.json     the budget, and the speeds that made it images
  results.md, results.csv, curves.png

A budget is so many training images, or so many minutes of training. Either is a number of images before a training
begins, so its learning rate is planned for it: the config's epochs, in which schedules are written, become equal shares
of these images (the config's `images`). A schedule that falls after a third of the epochs falls after a third of the
budget; no training is cut off half-way.

Minutes become images by the speed of each config, measured before the first training, in turn and of quick ones thrice,
so that whatever else the machine does falls on all alike. Validation is outside the budget. What the training then
really took is in the table; on a machine whose speed changes it may differ from what was asked for, while the images
are the plan's.
"""

import json
import math
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from segtrain.data.samples import Shards
from segtrain.evaluation.baseline import baseline
from segtrain.evaluation.evaluate import evaluate
from segtrain.evaluation.field_sets import FieldSet, read_field_sets
from segtrain.evaluation.figures import Figures
from segtrain.experiments.benchmark import training_speed
from segtrain.experiments.comparison_table import Candidate, Row, as_csv, markdown, read_candidates
from segtrain.experiments.fit import fit_unfinished
from segtrain.networks.catalogue import flops_per_image
from segtrain.reporting.curves import Course, draw_courses, read_columns
from segtrain.training.config import Config
from segtrain.training.device import machine, threads
from segtrain.training.processes import TrainingStoppedError, joined
from segtrain.training.run_folder import METRICS, RunFolder
from segtrain.training.training_data import read_training_data
from smearsynth.base.errors import UserError, WorkError
from smearsynth.base.progress import ProgressBar, say

BUDGET, MARKDOWN, CSV, CURVES = "budget.json", "results.md", "results.csv", "curves.png"
_ROUNDS = 3
"""In which speeds are measured, of which the median counts."""
_LONG = 2.0
"""Seconds of a step beyond which one is enough: a second's disturbance is little of it, and rounds take minutes."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A finished comparison. rows: as `comparison_table` says, baselines first."""

    out: Path
    split: str
    budget: str
    machine: str
    rows: tuple[Row, ...]

    @property
    def failed(self) -> list[str]:
        """Names of the trainings that came to nothing."""
        return [row["name"] for row in self.rows if row.get("error")]

    def __str__(self) -> str:
        return markdown(self.rows, split=self.split, budget=self.budget, machine=self.machine)


def compare(
    configs: Sequence[str | Path],
    *,
    vary: Sequence[str] = (),
    overrides: Sequence[str] = (),
    budget: str | None = None,
    data: str | Path | None = None,
    out: str | Path = "runs/compare",
    split: str = "test",
    fields: str | Path | None = None,
    resume: bool = False,
    pictures: bool = True,
    progress: bool = True,
) -> Compared:
    """Trains each config and measures its best epoch on `split`; beside them what needs no network.

    vary: "key=value,value,..." each, of which every config is trained with every combination. overrides: of all
    configs. budget: "images=N" or "minutes=M"; None: each trains as long as its config says. data: the dataset of
    configs that name none. fields: a file that names folders of annotated real fields, on which each is measured, too
    (see `evaluation.field_sets`); a network that names single cells names there what the package's own finds, white
    cells together with it. out: folder to make, or with `resume` to go on with; runs that are finished are not trained
    again. pictures: whether each run has its own drawn, too. progress: bars on stderr, or lines in a log. A training
    that fails has a row that says why, and does not keep the others from theirs. Raises UserError before anything is
    written where none can begin; TrainingStoppedError when it is asked to stop.

    >>> config, tiny = "recipes/fit/quick.yaml", ["model.width=2", "epochs=1", "batch=4"]
    >>> done = segtrain.compare([config], overrides=tiny, budget="images=8", data="quickstart", progress=False)
    >>> "quick" in str(done)
    True
    """
    with joined() as ranks:
        if ranks.world > 1:
            raise UserError("compare trains in one process, one config after another: leave torchrun out.")
    limit, out = read_budget(budget) if budget is not None else None, Path(out)
    real = read_field_sets(Path(fields)) if fields is not None else {}
    candidates = read_candidates([Path(file) for file in configs], varied=vary, overrides=overrides, data=data)
    ready, refused = _ready(candidates, limit, split)
    if not ready:
        first, *others = {str(error): error for error in refused.values()}.values()
        raise UserError("\n".join(map(str, (first, *others)))) if others else first
    errors = {name: str(error) for name, error in refused.items()}
    speeds = _begin(out, limit, resume=resume)
    for name, sentence in errors.items():
        say(f"{name} cannot be trained: {sentence}")
    if limit and limit.kind == "minutes":
        _measure(ready, speeds, errors)
        _write_budget(out, limit, speeds)
    rows, courses = [], []
    for number, candidate in enumerate(candidates, 1):
        row: Row = {"name": candidate.name, "split": split, "error": errors.get(candidate.name)}
        if not row["error"]:
            say(f"{number} of {len(candidates)}: {candidate.name}")
            target = RunFolder(out / candidate.folder)
            row |= _attempt(candidate, target, limit, speeds, split, real, pictures=pictures, progress=progress)
        rows.append(row)
        if not row["error"]:
            columns = read_columns(out / candidate.folder / METRICS)
            courses.append(Course(candidate.name, columns, images=row["images"]))
    rows = [*_baselines(rows, split, progress=progress), *rows]
    words = f"{limit.in_words} each" if limit else "each as long as its config says"
    done = Compared(out=out, split=split, budget=words, machine=_machine(), rows=tuple(rows))
    folder = RunFolder(out)
    folder.write_text(MARKDOWN, str(done))
    folder.write_text(CSV, as_csv(rows))
    if courses:
        draw_courses(courses, out / CURVES)
    return done


@dataclass(frozen=True, kw_only=True)
class ComparisonBudget:
    """What every training may spend. kind: "images" or "minutes"."""

    kind: str
    amount: float

    def __str__(self) -> str:
        return f"{self.kind}={self.amount:g}" if self.kind == "minutes" else f"{self.kind}={int(self.amount)}"

    @property
    def in_words(self) -> str:
        """For the table."""
        return f"{self.amount:,.0f} images" if self.kind == "images" else f"{self.amount:g} min of training"

    def images(self, config: Config, images_per_second: float | None) -> int:
        """How many images this is for a config. images_per_second: of its training, for minutes."""
        if self.kind == "images":
            return int(self.amount)
        assert images_per_second is not None
        images = int(60 * self.amount * images_per_second)
        return max(images - images % config.epochs, config.epochs)


def read_budget(text: str) -> ComparisonBudget:
    """text: "images=N" or "minutes=M". Raises UserError."""
    kind, _, number = text.partition("=")
    try:
        amount = float(number)
    except ValueError:
        amount = math.nan
    whole = kind != "images" or amount.is_integer()
    if kind not in ("images", "minutes") or not (0 < amount < math.inf) or not whole:
        raise UserError(f"{text!r} is no budget: give images=N, a whole number, or minutes=M", "budget")
    return ComparisonBudget(kind=kind, amount=amount)


def _ready(
    candidates: Sequence[Candidate], limit: ComparisonBudget | None, split: str
) -> tuple[dict[str, Config], dict[str, UserError]]:
    """The configs that are sound, with data that has what they need, and what is wrong with the others; by name."""
    ready, refused = {}, {}
    for candidate in candidates:
        try:
            config = candidate.config()
            if limit and limit.kind == "images":
                config = candidate.config(f"images={limit.images(config, None)}")
            read_training_data(config)
            Shards(Path(config.data or ""), split)
            ready[candidate.name] = config
        except UserError as error:
            refused[candidate.name] = error
    return ready, refused


def _begin(out: Path, limit: ComparisonBudget | None, *, resume: bool) -> dict[str, float]:
    """Makes the folder, or finds it begun under the same budget; images/s that were measured already, by name."""
    file = out / BUDGET
    if resume:
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise UserError(
                f"{out} holds no comparison to resume: begin one, or check the folder", "resume", "out"
            ) from None
        if before["budget"] != (str(limit) if limit else None):
            raise UserError(
                f"{out} was begun with the budget {before['budget']}: give that, or another folder", "budget", "out"
            )
        return dict(before["images_per_second"])
    if out.exists() and (not out.is_dir() or any(path.suffix != ".part" for path in out.iterdir())):
        raise UserError(f"{out} is not empty: resume its comparison, or name another folder", "resume", "out")
    out.mkdir(parents=True, exist_ok=True)
    _write_budget(out, limit, {})
    return {}


def _write_budget(out: Path, limit: ComparisonBudget | None, speeds: dict[str, float]) -> None:
    content = {"budget": str(limit) if limit else None, "images_per_second": speeds, "machine": machine()}
    RunFolder(out).write_text(BUDGET, json.dumps(content, indent=1) + "\n")


def _measure(ready: dict[str, Config], speeds: dict[str, float], errors: dict[str, str]) -> None:
    """Adds the images/s of every config that has none yet, or its error."""
    rates: dict[str, list[float]] = {name: [] for name in ready if name not in speeds}
    with ProgressBar(what="measure speeds", unit="trainings", total=_ROUNDS * len(rates), shown=True) as bar:
        for _ in range(_ROUNDS):
            for name in rates:
                settled = rates[name] and ready[name].batch > _LONG * rates[name][0]
                if name not in errors and not settled:
                    try:
                        rates[name].append(training_speed(ready[name]))
                    except Exception as error:
                        errors[name] = _sentence(error)
                bar.update()
    speeds |= {name: median(found) for name, found in rates.items() if name not in errors}


def _attempt(
    candidate: Candidate,
    target: RunFolder,
    limit: ComparisonBudget | None,
    speeds: dict[str, float],
    split: str,
    real: dict[str, FieldSet],
    *,
    pictures: bool,
    progress: bool,
) -> Row:
    """The row of a training; with `error` where it failed, however it did, since hours of others hang on this one."""
    try:
        config = candidate.config()
        if limit:
            config = candidate.config(f"images={limit.images(config, speeds.get(candidate.name))}")
        fitted = fit_unfinished(config, target, pictures=pictures)
        row = _row(config, target, fitted.figures, split, progress=progress)
        return row | {"fields": _on_fields(config, target, real, progress=progress)}
    except TrainingStoppedError:
        raise
    except Exception as error:
        if not isinstance(error, UserError | WorkError) and target.path.is_dir():
            target.log(traceback.format_exc())
        say(f"{candidate.name} failed: {_sentence(error)}")
        return {"error": _sentence(error)}


def _sentence(error: Exception) -> str:
    """What is said of a failure in one line."""
    if isinstance(error, UserError | WorkError):
        return " ".join(str(error).split())
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _row(config: Config, target: RunFolder, summary: dict[str, Any], split: str, *, progress: bool) -> Row:
    root = Path(config.data or "")
    shards = Shards(root, split)
    with torch.device("meta"):
        model = config.model.build(classes=len(shards.classes))
    forward, _ = flops_per_image(model, shards.size)
    kept = ("parameters", "images", "images_per_second", "training_seconds", "epochs", "best_epoch")
    return {
        "model": config.model.name,
        "data": str(root),
        "data_digest": shards.digest,
        **_figures(target, root, split, progress=progress),
        **{key: summary[key] for key in kept},
        "gmac": forward / 2e9,
        "size": list(shards.size),
        "budget": f"images={config.images}" if config.images else f"epochs={config.epochs}",
        "run": str(target.path),
    }


def _figures(target: RunFolder, root: Path, split: str, *, progress: bool) -> Figures:
    """What `evaluate` says of the run, once and for all."""
    file = target.path / f"{split}.json"
    if file.is_file():
        figures: Figures = json.loads(file.read_text(encoding="utf-8"))
    else:
        figures = evaluate(target.path, root, split=split, progress=progress)
        target.write_text(file.name, json.dumps(figures, indent=1) + "\n")
    return figures


def _on_fields(config: Config, target: RunFolder, real: dict[str, FieldSet], *, progress: bool) -> dict[str, Figures]:
    """What `evaluate` says of the run on each of the field sets, once for each folder, scale and names of classes."""
    file = target.path / "fields.json"
    known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    run, cells = (None, target.path) if config.model.crop else (target.path, None)
    for name, fields in real.items():
        asked = fields.model_dump(mode="json")
        if known.get(name, {}).get("asked") != asked:
            known[name] = {"asked": asked, "figures": fields.measure(run, cells, progress=progress)}
            target.write_text(file.name, json.dumps(known, indent=1) + "\n")
    return {name: known[name]["figures"] for name in real}


def _baselines(rows: Sequence[Row], split: str, *, progress: bool) -> list[Row]:
    """A row of Otsu's threshold and of the majority class for every dataset that a training was measured on."""
    names = {"otsu": "Otsu's threshold", "majority": "majority class"}
    data = dict.fromkeys((row["data"], row["data_digest"]) for row in rows if not row["error"])
    return [
        {"name": names[name], "model": name, "data": root, "data_digest": digest, "split": split, "error": None}
        | figures
        for root, digest in data
        for name, figures in baseline(root, split=split, progress=progress).items()
    ]


def _machine() -> str:
    here = machine()
    return " + ".join(here["gpus"]) or f"{here['processor'] or here['system']}, {threads()}"
