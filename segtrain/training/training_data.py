"""What a training learns from, what it is validated on, and by what a resume finds both unchanged.

`data`, `fold` and `overfit` of the config come to a `TrainingData`. An identity, in every checkpoint, is the config as
far as it decides the weights, and the data that they are trained on. How long a training is may change: what is done of
it is that of one of any length, but for its learning rates.
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segtrain.data.cell_crops import CellCrops, kind_shares
from segtrain.data.folds import pooled, read_folds
from segtrain.data.mixture import Mixture, mixed_order
from segtrain.data.recipe_smears import RecipeSmears
from segtrain.data.sampler import Index
from segtrain.data.samples import Shards
from segtrain.training.config import Config, MixSpec
from smearsynth.base.errors import UserError
from smearsynth.base.json_values import differences, shown
from smearsynth.base.progress import say

Identity = dict[str, Any]
_MIXED_HELD_OUT = 100
"""Smears of those mixed in that a training is validated on."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """training, validation: int64, numbers of the samples in `shards` and in `held_out`, which may be one; None: all.
    fold: whether they are one fold of a cross-validation. A sample is a smear or, of a network that names single cells,
    the crop around one of a smear's cells. once: whether each is seen once in the whole training, as are smears that
    are made as they are needed."""

    shards: Shards
    training: Index | None
    held_out: Shards
    validation: Index | None
    fold: bool = False
    once: bool = False

    def __len__(self) -> int:
        """Samples to learn from."""
        return len(self.shards if self.training is None else self.training)

    @property
    def pixels_per_class(self) -> npt.NDArray[np.int64]:
        """int64 (classes,): of the samples to learn from; with `overfit`, of the whole split that they are of."""
        return self.shards.pixels_per_class(self.training if self.fold else None)

    @property
    def fold_digest(self) -> str:
        """sha256 of what a fold learns from and is validated on, hex; "" without folds."""
        if not self.fold:
            return ""
        assert self.training is not None
        assert self.validation is not None
        both = self.training.astype("<i8").tobytes() + b"|" + self.validation.astype("<i8").tobytes()
        return hashlib.sha256(both).hexdigest()


def open_split(config: Config, root: Path, split: str) -> Shards:
    """A split of a set as the network of that config sees it: smears, or crops of their cells. UserError as of
    those."""
    shards = Shards(root, split)
    return CellCrops(shards, crop=config.model.crop) if config.model.crop else shards


def read_training_data(config: Config) -> TrainingData:
    """Of the config's `data` and `mix`. UserError where it has not what the config asks for."""
    own = _read_data(config, Path(config.data or ""))
    return _mixed(config, config.mix, own) if config.mix else own


def _read_data(config: Config, root: Path) -> TrainingData:
    if root.is_file():
        return _of_recipe(config, root)
    if config.bank:
        raise UserError(f"bank: {root} is a set, which has its smears already: remove it, or train on a recipe.")
    if config.fold:
        both, table = pooled(root), Path(config.fold.table)
        fold = read_folds(table, both)
        if config.fold.number > fold.max():
            raise UserError(f"fold.number: {table} has {fold.max()} folds, and {config.fold.number} is asked for.")
        held_out = fold == config.fold.number
        return TrainingData(
            shards=both,
            training=np.flatnonzero(~held_out),
            held_out=both,
            validation=np.flatnonzero(held_out),
            fold=True,
        )
    if config.model.crop:
        return _single_cells(root, config.model.crop, config.overfit)
    shards = Shards(root, "train")
    if config.overfit:
        few = _first(np.arange(len(shards)), config.overfit)
        return TrainingData(shards=shards, training=few, held_out=shards, validation=few)
    return TrainingData(shards=shards, training=None, held_out=Shards(root, "val"), validation=None)


def _of_recipe(config: Config, recipe: Path) -> TrainingData:
    """Smears that are made as they are needed: `images` of them, or as many in each epoch as the recipe counts; with
    `overfit` its first ones, again and again."""
    for key, asked in (("fold", config.fold), ("model.name", config.model.crop), ("resident", config.resident)):
        if asked:
            raise UserError(f"{key}: takes a set on disk, and {recipe} is a recipe: build it, or remove the key.")
    say(f"{recipe}: reads its cells, and makes the smears of its validation split")
    if config.overfit:
        smears = RecipeSmears(recipe, "train", bank=config.bank)
        few = _first(np.arange(len(smears)), config.overfit)
        return TrainingData(shards=smears, training=few, held_out=smears, validation=few)
    shards = RecipeSmears(recipe, "train", bank=config.bank, epochs=config.epochs, images=config.images)
    held_out = RecipeSmears(recipe, "val", bank=config.bank)
    return TrainingData(shards=shards, training=None, held_out=held_out, validation=None, once=True)


def _single_cells(root: Path, crop: int, overfit: int | None) -> TrainingData:
    """Crops of single cells, of each kind as often as its share says; a part of those that are held out."""
    cells = CellCrops(Shards(root, "train"), crop=crop)
    if overfit:
        few = _first(cells.balanced(), overfit)
        return TrainingData(shards=cells, training=few, held_out=cells, validation=few)
    held_out = CellCrops(Shards(root, "val"), crop=crop)
    return TrainingData(shards=cells, training=cells.balanced(), held_out=held_out, validation=held_out.some_of_each())


def _mixed(config: Config, mix: MixSpec, own: TrainingData) -> TrainingData:
    """`own`, and smears or crops of their cells beside it; of a recipe a smear is made for each that is due. Of crops
    every class keeps the share that it has without others: of a class that only the smears show, all are theirs. A
    network that sees its white cells seldom forgets them, though they are among the smears."""
    if own.once:
        raise UserError(f"mix: smears are mixed into a set of one's own, and {config.data} is a recipe: remove it.")
    root, crop = Path(mix.data), config.model.crop
    images = config.images or round(len(own) / (1 - mix.share))
    both: list[Shards] = []
    for split, count in (("train", images), ("val", _MIXED_HELD_OUT)):
        smears = RecipeSmears(root, split, bank=mix.bank, images=count) if root.is_file() else Shards(root, split)
        both.append(CellCrops(smears, crop=crop) if crop else smears)
    learnt, held_out = both
    order = partial(mixed_order, share=mix.share, first=len(own.shards), seed=config.seed)
    mine = np.arange(len(own.held_out)) if own.validation is None else own.validation
    if isinstance(own.shards, CellCrops) and isinstance(learnt, CellCrops) and isinstance(held_out, CellCrops):
        here, there = own.shards.by_kind(), learnt.by_kind()
        share, none = kind_shares(here.keys() | there.keys()), np.empty(0, np.int64)
        parts = [
            order(here.get(kind, none), there.get(kind, none), images=round(images * part / sum(share.values())))
            for kind, part in sorted(share.items())
        ]
        training, theirs = np.concatenate(parts), held_out.some_of_each()
    else:
        training = order(np.arange(len(own.shards)), np.arange(len(learnt)), images=images)
        theirs = np.linspace(0, len(held_out) - 1, min(_MIXED_HELD_OUT, len(held_out))).astype(np.int64)
    return TrainingData(
        shards=Mixture(own.shards, learnt),
        training=training,
        held_out=Mixture(own.held_out, held_out),
        validation=np.concatenate([mine, len(own.held_out) + theirs]),
    )


def _first(samples: Index, count: int) -> Index:
    if count > len(samples):
        raise UserError(f"overfit: asks for {count} samples of {len(samples)}: ask for fewer.")
    return samples[:count]


def identity_of(config: Config, data: TrainingData) -> Identity:
    """Plain data, for the checkpoint."""
    classes = data.shards.classes
    return {
        "config": config.deciding(),
        "config_hash": config.digest(),
        "data_digest": data.shards.digest,
        "fold_digest": data.fold_digest,
        "classes": {"ids": classes.ids, "keys": classes.keys, "colours": classes.colours},
        "um_per_px": data.shards.um_per_px,
    }


def lengthened(config: Config, before: Identity, done: int, run: Path) -> Config:
    """The config of a run that shall have more, or fewer, epochs than it was begun for: `images` and `epochs` change
    together, so that an epoch keeps its share of images, and its steps.

    done: epochs that are begun. UserError where fewer are asked for, and where the images are no whole epochs.
    """
    begun = before.get("config")
    epochs, images = (begun.get("epochs"), begun.get("images")) if isinstance(begun, dict) else (None, None)
    if not isinstance(epochs, int) or (config.epochs, config.images) == (epochs, images):
        return config  # what is no config is for `check_unchanged` to refuse
    if images and config.images:
        if config.mix:
            raise UserError(
                f"mix: {run} has drawn {images} samples from both, and another number is another drawing: begin anew "
                "with its weights (`start`), in another folder."
            )
        of_images, of_epochs = Fraction(config.images, images), Fraction(config.epochs, epochs)
        factor = of_epochs if of_images == 1 else of_images
        if of_epochs not in (1, factor) or (epochs * factor).denominator * (images * factor).denominator > 1:
            raise UserError(
                f"images: {config.images} in {config.epochs} epochs are not whole epochs of {run}, which has "
                f"{images / epochs:g} images in each: give one of the two, and of images a multiple of that."
            )
        config = config.model_copy(update={"epochs": int(epochs * factor), "images": int(images * factor)})
    if config.epochs < done:
        raise UserError(
            f"epochs: {config.epochs} are asked for, and {run} is in epoch {done} already: give more, or begin anew in "
            "another folder."
        )
    return config


def of_length(before: Identity, config: Config, data: TrainingData) -> Identity:
    """What `before` would say of a training as long as `config` says."""
    try:
        epochs, images = (before["config"][key] for key in ("epochs", "images"))
        same = before | {"config": before["config"] | {"epochs": config.epochs}}
        if images and config.images:
            same["config"]["images"] = config.images
        if isinstance(data.shards, RecipeSmears) and data.once:
            begun = data.shards.digest_of(images or epochs * (len(data) // config.epochs))
            same["data_digest"] = data.shards.digest if before["data_digest"] == begun else before["data_digest"]
    except (AttributeError, KeyError, TypeError):
        return before  # which `check_unchanged` refuses
    return same


def check_unchanged(before: Identity, now: Identity, run: Path) -> None:
    """UserError, naming what differs, where `run` would go on as another training."""
    try:
        found = differences(before["config"], now["config"])
        lines = [f"{d.path}: {shown(d.old)}, now {shown(d.new)}" for d in found]
        if before["data_digest"] != now["data_digest"]:
            lines.append(f"the dataset: digest {before['data_digest'][:12]}, now {now['data_digest'][:12]}")
        if before.get("fold_digest", "") != now["fold_digest"]:
            lines.append("division into folds")
    except (AttributeError, KeyError, TypeError):
        raise UserError(
            f"{run}: its checkpoint does not say what it belongs to; begin anew in another folder", "run"
        ) from None
    if lines:
        changed = "; ".join(lines)
        raise UserError(
            f"{run} cannot be resumed, for this has changed since it began: {changed}; put it back, or begin anew in "
            "another folder",
            "run",
        )
