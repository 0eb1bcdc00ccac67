"""K trainings, each validated on another part of the samples: how much a figure owes to the choice of that part.

RUN/
  config.yaml     of all folds
  folds.csv       which sample is held out when (see `data.folds`)
  fold-1/ ...     a run each, as `run_folder` says; a resume goes on with whichever was interrupted
  summary.json    figures of every fold, their mean and standard deviation
  summary.txt     the same for a person

A fold validates on what it does not learn from, and its best epoch is chosen there: the figures of best epochs are
therefore a little too good, those of the last epochs are not. The test split, where there is one, stays untouched.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segtrain.data.folds import FOLDS, pooled, read_folds, table_of
from segtrain.data.sampler import Index
from segtrain.data.samples import Shards
from segtrain.experiments.fit import fit_unfinished, resolve
from segtrain.importing.import_splits import split_by_shares
from segtrain.training.config import Config, FoldSpec
from segtrain.training.processes import joined
from segtrain.training.run_folder import CONFIG, RunFolder
from smearsynth.base.config_file import dump_yaml
from smearsynth.base.errors import UserError

TEXT = "summary.txt"
_NAMES = {
    "val_miou": "mIoU",
    "val_pixel_accuracy": "pixel accuracy",
    "val_foreground_dice": "foreground Dice",
    "val_reference_accuracy": "reference accuracy",
    "val_loss": "loss",
}
_OF_CLASS = "val_iou_"


@dataclass(frozen=True, kw_only=True)
class CrossValidated:
    """A finished cross-validation. figures: what `summary.json` holds."""

    run: Path
    figures: dict[str, Any]

    def __str__(self) -> str:
        f = self.figures
        lines = [
            f"{self.run}: {len(f['folds'])} folds of {f['samples']:,} samples in {f['groups']:,} groups",
            "",
            f"{'of the held-out fold':<28}{'best epoch':>12}{'sd':>9}{'last epoch':>13}{'sd':>9}",
        ]
        for key, at_best in f["at_best"].items():
            name = _NAMES.get(key) or f"IoU {key.removeprefix(_OF_CLASS)}"
            best, last = (f"{_cell(m['mean'])}{_cell(m['sd']):>9}" for m in (at_best, f["at_last"][key]))
            few = f"  of {at_best['folds']} folds" if at_best["folds"] < len(f["folds"]) else ""
            lines.append(f"{name:<28}{best:>21}{last:>22}{few}")
        return "\n".join(lines)


def cross_validate(
    dataset: str | Path | None = None,
    *,
    folds: int | str | Path,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    run: str | Path | None = None,
    resume: bool = False,
    pictures: bool = True,
) -> CrossValidated:
    """Trains a network once for each fold of the training and validation samples together.

    folds: how many, which no group of samples (a patient, a source image) is divided by; or a table of them that an
    earlier cross-validation wrote. dataset, config, overrides, run, pictures: as for `fit`; `resume` reads the run's
    own table. Raises UserError before anything is written, also for a set that does not record groups; WorkError as
    `fit` does.

    >>> tiny = ["model.name=compact", "model.width=2", "epochs=1", "batch=2"]
    >>> done = segtrain.cross_validate("fields", folds=2, overrides=tiny, run="runs/folds", pictures=False)
    >>> len(done.figures["folds"])
    2
    """
    with joined() as ranks:
        if ranks.world > 1:
            raise UserError("folds are trained in one process, one after another: leave torchrun out", "folds")
    asked, target = resolve(dataset, config=config, overrides=overrides, run=run, resume=resume)
    if asked.fold:
        raise UserError("fold: a cross-validation sets it for each training: remove it from the config", "folds")
    if asked.overfit:
        raise UserError("overfit: chooses the samples, as folds do: remove one of them", "overfit", "folds")
    samples = pooled(Path(asked.data or ""))
    table = target.path / FOLDS
    wanted = int(str(folds)) if str(folds).isdecimal() else Path(str(folds))
    _begin(asked, target, samples, wanted, resume=resume)
    fold = read_folds(table, samples)
    runs = []
    for number in range(1, int(fold.max()) + 1):
        one = asked.model_copy(update={"fold": FoldSpec(table=str(table.absolute()), number=number)})
        fitted = fit_unfinished(one, RunFolder(target.path / f"fold-{number}"), pictures=pictures)
        runs.append({"fold": number, "held_out": int((fold == number).sum()), **fitted.figures})
    done = CrossValidated(run=target.path, figures=_summary(runs, samples))
    target.write_text(TEXT, f"{done}\n")
    target.write_summary(done.figures)
    return done


def assign(groups: Index, folds: int, *, seed: int) -> Index:
    """int64 (N,): the fold of every sample, from 1, by the group of each, int64 (N,); of about equal size, drawn by
    `seed`. UserError where there are fewer groups than folds."""
    if folds < 2:
        raise UserError(f"{folds} are too few: two at least are needed", "folds")
    found = len(np.unique(groups))
    if found < folds:
        raise UserError(
            f"training and validation samples are of {found} groups (images, or patients), none of which is divided: "
            f"ask for {found} folds at most, not {folds}",
            "folds",
        )
    shares = {str(number): 1.0 for number in range(1, folds + 1)}
    return np.array(split_by_shares([str(group) for group in groups], shares, seed=seed), np.int64)


def _begin(asked: Config, target: RunFolder, samples: Shards, folds: int | Path, *, resume: bool) -> None:
    """Writes config and table of a new run, or holds those of an old one against what is asked for."""
    table = target.path / FOLDS
    assert samples.groups is not None
    fold = read_folds(folds, samples) if isinstance(folds, Path) else assign(samples.groups, folds, seed=asked.seed)
    if resume:
        if not table.is_file():
            raise UserError(
                f"{target.path} holds no cross-validation to resume: begin one, or check it", "resume", "run"
            )
        old = read_folds(table, samples)
        if old.max() != fold.max() or (isinstance(folds, Path) and not np.array_equal(old, fold)):
            raise UserError(
                f"{table} has other folds than the {folds} asked for: name it, or another folder", "folds", "run"
            )
    elif target.path.exists() and not _not_begun(target.path):
        raise UserError(f"{target.path} is not empty: resume its run, or name another folder", "resume", "run")
    else:
        target.path.mkdir(parents=True, exist_ok=True)
        target.write_text(CONFIG, dump_yaml(asked.model_dump(mode="json")))
        target.write_text(FOLDS, table_of(samples, fold))


def _not_begun(folder: Path) -> bool:
    """Whether a folder holds nothing, or what a kill left before the table, which is written last."""
    return folder.is_dir() and all(file.name == CONFIG or file.suffix == ".part" for file in folder.iterdir())


def _summary(runs: list[dict[str, Any]], samples: Shards) -> dict[str, Any]:
    first = runs[0]
    assert samples.groups is not None
    columns = [c for c in (*_NAMES, *first["at_best"]) if c in _NAMES or c.startswith(_OF_CLASS)]
    per_fold = ("fold", "held_out", "best_epoch", "epochs", "reason", "training_seconds", "at_best", "at_last")
    return {
        **{key: first[key] for key in ("dataset", "data_digest", "config_hash", "model", "parameters", "monitor")},
        "samples": len(samples),
        "groups": len(np.unique(samples.groups)),
        **{at: {c: _over_folds([run[at][c] for run in runs]) for c in columns} for at in ("at_best", "at_last")},
        "folds": [{key: run[key] for key in per_fold} for run in runs],
        "machine": first["machine"],
        "versions": first["versions"],
    }


def _over_folds(values: list[float | None]) -> dict[str, float | int | None]:
    """Mean and standard deviation (of a sample: n - 1) over the folds that have the figure, and how many these are."""
    known = [value for value in values if value is not None]
    return {
        "mean": statistics.fmean(known) if known else None,
        "sd": statistics.stdev(known) if len(known) > 1 else None,
        "folds": len(known),
    }


def _cell(value: float | None) -> str:
    return "nan" if value is None else f"{value:.4f}"
