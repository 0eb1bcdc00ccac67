"""A config and a dataset to a trained network: everything is checked, then put together, then trained; at the end the
run's summary and pictures."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segtrain.data.samples import INDEX, INSTANCE, MORE_MAPS, PARASITE, Shards
from segtrain.networks import checkpoint
from segtrain.pretrained import FINDER
from segtrain.training import loop
from segtrain.training.config import Config, load_config
from segtrain.training.device import machine, versions
from segtrain.training.loop import Training
from segtrain.training.processes import joined, listening
from segtrain.training.run_folder import CONFIG, RunFolder, load_trained, plain
from segtrain.training.setup import prepare
from segtrain.training.training_data import check_unchanged, identity_of, read_training_data
from smearsynth.base.errors import UserError, WorkError

SHIPPED = "shipped"
"""As `start`: the network that comes with the package."""
RATE = 0.04
"""Of the learning rate that a network was trained at, with which it learns on."""
GENTLE: dict[str, Any] = {
    "images": 1600,
    "epochs": 4,
    "schedule": {"cosine": {"warmup_epochs": 0.25}},
    "ema": 0.9,
    "monitor": "miou",
}
"""How a network learns on that has learnt already: little, slowly, and looked at often."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A finished training. figures: what `summary.json` holds; None where there was nothing to measure. more: for a
    person, lines beside that of the training."""

    run: Path
    figures: dict[str, Any]
    more: str = ""

    def __str__(self) -> str:
        f = self.figures
        best = "nan" if f["best"] is None else f"{f['best']:.4f}"
        return (
            f"{self.run}: best epoch {f['best_epoch']} with {f['monitor']} {best} on the validation split; "
            f"{f['reason']}; {f['seconds']:,.0f} s, {f['images_per_second']:,.1f} images/s"
            + (f"\n\n{self.more}" if self.more else "")
        )


def fit(
    dataset: str | Path | None = None,
    *,
    config: str | Path | None = None,
    overrides: Sequence[str] = (),
    run: str | Path | None = None,
    resume: bool = False,
    pictures: bool = True,
    start: str | Path | None = None,
    mix: str | Path | None = None,
    classes: Mapping[str, str | None] | str | Path | None = None,
    um_per_px: str | float | None = None,
    finder: str | Path | None = None,
) -> Fitted:
    """Trains a network on a dataset; under torchrun together with the other processes.

    dataset: folder of a finished one, or a recipe, whose smears are made as they are needed, each of them once: the
    config's `images`, or in every epoch as many as the recipe counts; None: the config's `data`. config: a YAML file;
    None: the defaults, or with `resume` the run's own. overrides: "key=value" each. run: folder to make, default
    runs/DATASET-MODEL. resume: go on with a run that was interrupted. pictures: whether curves, confusion matrix and
    gallery are drawn at the end. A run that is finished, or was interrupted, may be resumed with more `epochs` or
    `images`, and says how its learning rate goes on.

    start: a run, or "shipped", with whose weights the network begins; without `config` it learns on slowly and for a
    few epochs, see `start_config`. mix: a set or a recipe whose smears are learnt beside, half of all samples (the
    config's `mix.share`), so that the network does not forget what it knew.

    With `classes`, `dataset` is a folder of real fields in which somebody has named cells, by points or boxes or by a
    folder for each class, as `evaluate` takes it; the network begins with `start`, by default the shipped one that
    names cells. classes, um_per_px: as of `evaluate`. finder: the run that finds the cells, by default the shipped one.
    The figures then have `tuned`: see `fine_tuning.fine_tune`.

    Raises UserError for what is wrong with these, before anything is written; WorkError when the training was stopped
    or met a loss that is not finite.

    >>> tiny = ["model.name=compact", "model.width=2", "images=8", "epochs=1", "batch=4"]
    >>> segtrain.fit("quickstart", overrides=tiny, run="runs/tiny", pictures=False).figures["images"]
    8
    """
    if classes is not None:
        from segtrain.experiments.fine_tuning import fine_tune

        if dataset is None:
            raise UserError("There are no fields to learn from: name their folder.", "dataset")
        return fine_tune(
            Path(dataset),
            classes=classes,
            um_per_px=um_per_px,
            finder=finder,
            start=start,
            mix=mix,
            config=config,
            overrides=overrides,
            run=run,
            resume=resume,
            pictures=pictures,
        )
    for name, value in (("um_per_px", um_per_px), ("finder", finder)):
        if value is not None:
            raise UserError("belongs to fields whose cells are named: give `classes`, or leave it out", name)
    asked, folder = resolve(dataset, config=config, overrides=overrides, run=run, resume=resume, start=start, mix=mix)
    return fit_config(asked, folder, resume=resume, pictures=pictures)


def resolve(
    dataset: str | Path | None,
    *,
    config: str | Path | None,
    overrides: Sequence[str],
    run: str | Path | None,
    resume: bool,
    start: str | Path | None = None,
    mix: str | Path | None = None,
) -> tuple[Config, RunFolder]:
    """The config and the run that such arguments of `fit` mean. Raises UserError."""
    asked = None
    beside = [f"mix.data={json.dumps(str(Path(mix).absolute()))}"] if mix is not None else []
    begins = None if start is None else FINDER if start == SHIPPED else Path(start)
    if begins is not None and not (resume and run is not None):
        asked = start_config(
            begins,
            maps=_maps_of(_dataset(dataset, Config())),
            config=config,
            overrides=[*beside, *overrides],
        )
    overrides = [*beside, *overrides]
    if run is None:
        asked = asked or load_config(config, overrides)
        name = re.sub("[:/]", "-", asked.model.name)
        data = _dataset(dataset, asked)
        run = Path("runs") / f"{data.stem if data.is_file() else data.name}-{name}"
    folder = RunFolder(Path(run))
    if resume and config is None and (folder.path / CONFIG).is_file():
        asked = load_config(folder.path / CONFIG, overrides)
        if begins is not None and asked.start != str(begins.absolute()):
            before = f"the weights of {asked.start}" if asked.start else "no weights"
            raise UserError(f"{folder.path} began with {before}, and goes on from its own: leave it out", "start")
    asked = asked or load_config(config, overrides)
    return asked.model_copy(update={"data": str(_dataset(dataset, asked))}), folder


def _maps_of(data: Path) -> tuple[str, ...]:
    """Those of `MORE_MAPS` that a set has; of a recipe's smears all, as far as anybody knows before they are made."""
    if data.is_dir() and not (data / INDEX).is_file():
        raise UserError(
            f"{data} is no set: import it or, where it is a folder of fields with named cells, say what the names "
            "stand for",
            "classes",
        )
    shards = None if data.is_file() else Shards(data, "train")
    return tuple(name for name in MORE_MAPS if shards is None or shards.has(name))


def start_config(start: Path, *, maps: Collection[str], config: str | Path | None, overrides: Sequence[str]) -> Config:
    """The config of a training that begins with the weights of `start`: its network, and without a `config` of one's
    own all else as of that run, but for `GENTLE`. maps: of `MORE_MAPS`, those that the data has; of losses that need
    another none is taken over. Raises UserError."""
    known = load_trained(start).config
    plain = known.model_dump(mode="json")
    values: dict[str, Any] = {"start": str(start.absolute()), "model": plain["model"]}
    if config is None:
        loss = plain["loss"] | {
            name: None for name, needed in (("cells", INSTANCE), ("parasite", PARASITE)) if needed not in maps
        }
        if not any(loss.values()):
            loss["cross_entropy"] = {}
        optimiser = plain["optimiser"] | {"lr": known.optimiser.lr * RATE}
        values |= {"loss": loss, "optimiser": optimiser, "batch": known.batch, "augment": plain["augment"], **GENTLE}
    return load_config(config, [*(f"{key}={json.dumps(value)}" for key, value in values.items()), *overrides])


def fit_config(asked: Config, folder: RunFolder, *, resume: bool, pictures: bool) -> Fitted:
    """`fit` of a config that is ready, its `data` named."""
    with joined() as ranks, listening() as stop:
        t = prepare(asked, folder, ranks, resume=resume)
        try:
            reason = loop.train(t, stop)
        except WorkError as error:
            _summarise(t, str(error), finished=False)
            raise
        finally:
            t.progress.close()
            t.training.close()
            t.validation.close()
            if t.tensorboard:
                t.tensorboard.close()
        figures = _summarise(t, reason, finished=True)
    # The training is safe: whoever interrupts now means the pictures, and the other processes need not wait for them.
    if pictures and ranks.first:
        from segtrain.reporting.run_pictures import write_pictures

        write_pictures(folder.path, device=asked.device)
    return Fitted(run=folder.path, figures=figures)


def fit_unfinished(asked: Config, folder: RunFolder, *, pictures: bool) -> Fitted:
    """`fit_config` from wherever the run is: not begun, interrupted, or finished; a finished one is left as it is.
    UserError where it was begun with another config or on other data."""
    begun = (folder.path / CONFIG).is_file()
    figures = folder.read_summary()
    if begun and folder.last.is_file():
        now = identity_of(asked, read_training_data(asked))
        check_unchanged(checkpoint.load(folder.last).get("identity", {}), now, folder.path)
    if begun and figures.get("finished"):
        return Fitted(run=folder.path, figures=figures)
    return fit_config(asked, folder, resume=begun, pictures=pictures)


def _dataset(given: str | Path | None, config: Config) -> Path:
    root = given or config.data
    if root is None:
        raise UserError("There is no dataset to train on: name its folder or a recipe, or give the config a `data:`.")
    return Path(root).absolute()


def _summarise(t: Training, reason: str, *, finished: bool) -> dict[str, Any]:
    """What `summary.json` holds, after it is written. Of an epoch that was resumed only the rest was timed: its speed
    stands for the whole."""
    best = t.rows[t.best_epoch - 1] if t.rows else {}
    images, seconds = (sum(row[key] for row in t.speeds) for key in ("images", "training_seconds"))
    summary = {
        "dataset": t.config.data,
        "data_digest": t.identity["data_digest"],
        "config_hash": t.identity["config_hash"],
        "model": t.config.model.name,
        "parameters": sum(p.numel() for p in t.model.parameters()),
        "finished": finished,
        "reason": reason,
        "epochs": t.epoch,
        "best_epoch": t.best_epoch,
        "monitor": t.config.monitor,
        "best": best.get(f"val_{t.config.monitor}"),
        "at_best": best,
        "at_last": t.rows[-1] if t.rows else {},
        "images": t.training.images(t.epoch),
        "training_seconds": t.training.images(t.epoch) * seconds / images if images else 0.0,
        "seconds": sum(row["seconds"] for row in t.speeds),
        "images_per_second": images / seconds if seconds else 0.0,
        "waiting_share": sum(row["waiting_share"] * row["training_seconds"] for row in t.speeds) / (seconds or 1),
        "computed_on": str(t.compute),
        "processes": t.ranks.world,
        "machine": machine(),
        "versions": versions(),
    }
    figures: dict[str, Any] = plain(summary)
    if t.ranks.first:
        t.run.write_summary(figures)
    return figures
