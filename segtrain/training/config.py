"""The config: one YAML file, and overrides, that decide a training. Classes and their number come from the data.

A key that nothing reads is an error with the nearest name; so is one that has no effect beside the others, because
whoever wrote it believes that it has.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ConfigDict, Field, field_validator, model_validator
from torch import nn

from segtrain.data.augmentation import AugmentSpec
from segtrain.data.samples import INSTANCE, PARASITE
from segtrain.losses import CrossEntropySpec, LossSpec
from segtrain.networks.efficientnet_lite import IMAGENET, NONE
from segtrain.networks.registry import CELLS, MODELS, Adapted, build_model, default_options, pretrained_part
from segtrain.training.device import Amp
from segtrain.training.schedules import EarlyStopSpec, ScheduleSpec
from smearsynth.base.config_file import ConfigKind, parse_config, read_config
from smearsynth.base.errors import UserError
from smearsynth.base.validation import Spec, WrongValueError, validate

KIND = ConfigKind(noun="config", start="a key such as `epochs: 35`", example="optimiser.lr=3e-4")

DECIDES_NOTHING = frozenset({"data", "bank", "fold", "workers", "resident", "save_minutes"})
"""Keys that change where and how fast a network is trained, but not which one comes out; the samples that `data` and
`fold` stand for have digests of their own in a run's identity."""

Monitor = Literal[
    "pixel_accuracy",
    "miou",
    "reference_accuracy",
    "foreground_dice",
    "white_accuracy",
    "infected_recall",
    "infected_accuracy",
]
"""Columns `val_*` of metrics.csv; of each, more is better, as best epoch, plateau and early stop take for granted."""
_LATER = (("model", "parasite"), ("loss", "cells"), ("loss", "parasite"))
"""Keys that came later: where they are not in use, a run that was begun without them is the same training."""
OF_CELLS = frozenset({"white_accuracy", "infected_recall", "infected_accuracy"})
"""Of these, those that are measured cell by cell, on sets that know their cells."""


class ModelSpec(Spec):
    """A network of the registry; its options stand beside its name. A name alone, `model: unet`, is one with all
    defaults."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(
        default="unet_half",
        description="which network; `segtrain models` lists them; smp:ARCHITECTURE/ENCODER is one of the library "
        "segmentation_models_pytorch",
    )
    grey: bool = Field(default=False, description="show the network grey images: the luma of colour")
    sigmoid: bool = Field(default=False, description="one output for two classes, instead of one for each")
    parasite: bool = Field(
        default=False, description="one output more that marks the pixels of parasites; `loss.parasite` trains it"
    )
    pretrained: str | None = Field(
        default=None,
        description="torchvision's weights of the network's VGG to begin with, a file seen from this one; null: none",
    )

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, given: Any) -> Any:
        given = {"name": given} if isinstance(given, str) else given
        name = given.get("name", "unet_half") if isinstance(given, dict) else None
        if not isinstance(name, str) or name not in MODELS:
            return given
        weights = given.get("encoder_weights")
        if isinstance(weights, str) and weights not in (IMAGENET, NONE):
            given = {**given, "encoder_weights": str(Path(weights).absolute())}
        return {"name": name, **default_options(name), **given}

    @field_validator("pretrained")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        return None if value is None else str(Path(value).absolute())

    @model_validator(mode="after")
    def _can_be_built(self) -> "ModelSpec":
        try:
            with torch.device("meta"):
                network = self.build(classes=2)
        except UserError as error:
            key, _, sentence = error.sentence.partition(": ")
            raise WrongValueError(sentence, key) from None
        if self.pretrained and not pretrained_part(network):
            raise WrongValueError(f"{self.name} begins with no weights of others: remove it", "pretrained")
        return self

    @property
    def crop(self) -> int | None:
        """Side in px of the crops that a network sees which names single cells; None of one that sees whole images."""
        crop = (self.model_extra or {}).get("crop") if self.name == CELLS else None
        return int(crop) if crop else None

    def handed_on(self) -> dict[str, Any]:
        """As plain data for others, who have of files of weights at best the same names."""
        plain = self.model_dump()
        return plain | {key: Path(plain[key]).name for key in ("pretrained", "encoder_weights") if plain.get(key)}

    def build(self, *, classes: int) -> nn.Module:
        """A new network for RGB images, its weights drawn from torch's global generator."""
        options = self.model_extra or {}
        for name in ("classes", "channels"):
            if name in options:
                raise UserError(f"{name}: comes from the data: remove it")
        if self.sigmoid and classes != 2:
            raise UserError(f"model.sigmoid: tells two classes apart, and the data has {classes}: remove it.")
        if not (self.grey or self.sigmoid or self.parasite):
            return build_model(self.name, classes=classes, **options)
        outputs, channels = (1 if self.sigmoid else classes) + self.parasite, 1 if self.grey else 3
        network = build_model(self.name, classes=outputs, channels=channels, **options)
        return Adapted(network, grey=self.grey, sigmoid=self.sigmoid, parasite=self.parasite)


class OptimiserSpec(Spec):
    """How a gradient becomes a step."""

    name: Literal["adam", "adamw"] = Field(default="adamw", description="adam, or adamw (weight decay apart)")
    lr: float = Field(default=1e-3, gt=0, le=1, description="learning rate, which the schedule multiplies; up to 1")
    weight_decay: float = Field(default=0.0, ge=0, le=1, description="decay of weights; 0-1")


class FoldSpec(Spec):
    """One of K trainings, each of which is validated on another part of the samples."""

    table: str = Field(description="the folds of the data, a CSV as `segtrain fit --folds` writes it")
    number: int = Field(ge=1, description="the fold that is held out for validation, from 1")


class MixSpec(Spec):
    """Smears that are learnt beside samples of one's own, so that a network does not forget what it knew."""

    data: str = Field(description="a set, or a recipe whose smears are made as they are needed, seen from this file")
    share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="of the training samples, those that are smears, or of the cells of each class that both show; 0-1",
    )
    bank: str | None = Field(default=None, description="of a recipe: a file with its cells; null: they are cut")


class Config(Spec):
    """How a network is trained."""

    data: str | None = Field(
        default=None,
        description="the dataset, or a recipe whose smears are made as they are needed, seen from this file; the "
        "command line's DATASET goes before it",
    )
    bank: str | None = Field(
        default=None,
        description="of `data` that is a recipe: a file with its cells, as cells.h5 of a set; null: they are cut",
    )
    fold: FoldSpec | None = Field(
        default=None, description="one fold of a cross-validation; null: the data's own training and validation split"
    )
    start: str | None = Field(
        default=None,
        description="a run, or a folder of exported weights, of the same `model`, with whose weights the network "
        "begins, seen from this file; null: none",
    )
    mix: MixSpec | None = Field(default=None, description="smears beside the samples of `data`; null: none")
    model: ModelSpec = Field(default=ModelSpec(), description="which network")
    loss: LossSpec = Field(default=LossSpec(cross_entropy=CrossEntropySpec()), description="what is minimised")
    optimiser: OptimiserSpec = Field(default=OptimiserSpec(), description="how a gradient becomes a step")
    schedule: ScheduleSpec = Field(default=ScheduleSpec(), description="learning rate over the steps")
    epochs: int = Field(default=35, ge=1, le=100_000, description="passes over the training split; 1-100000")
    images: int | None = Field(
        default=None,
        ge=1,
        description="training images to see in all, of which every epoch is then an equal share, in place of a pass "
        "over the training split; null: whole passes",
    )
    batch: int = Field(default=32, ge=1, le=65_536, description="samples of a step, over all devices; 1-65536")
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="key of weights, shuffle, augmentation; 0 to 2**63-1")
    augment: AugmentSpec = Field(default=AugmentSpec(), description="how training samples are varied")
    ema: float | None = Field(
        default=None, gt=0, lt=1, description="decay of a moving average of the weights, used instead; null: none"
    )
    monitor: Monitor = Field(
        default="pixel_accuracy",
        description="the figure of the validation split whose highest epoch is kept, which early_stop and a plateau "
        "watch too: pixel_accuracy, miou, reference_accuracy or foreground_dice; of cells white_accuracy (the five "
        "types, balanced), infected_recall or infected_accuracy (infected and healthy, balanced)",
    )
    early_stop: EarlyStopSpec | None = Field(default=None, description="when to end before the last epoch; null: never")
    overfit: int | None = Field(
        default=None, ge=1, description="train and validate on the first so many training samples; null: on all"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU where there is one")
    amp: Amp = Field(
        default="auto", description="number format of products; auto: bf16 where the hardware has it, else fp32"
    )
    channels_last: bool = Field(default=True, description="memory layout with a pixel's channels together; faster")
    compile: bool = Field(default=False, description="compile the network; slow to start, faster after")
    deterministic: bool = Field(default=False, description="the same bits every time on a GPU too; slower there")
    resident: bool = Field(default=False, description="keep the whole set in the memory of the device")
    workers: int | None = Field(
        default=None, ge=0, le=256, description="threads that read and augment; null: chosen; 0-256"
    )
    save_minutes: float = Field(default=10, gt=0, description="minutes between checkpoints within an epoch")

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> "Config":
        if "deterministic" in self.model_fields_set and self.deterministic and self.device == "cpu":
            raise WrongValueError("has no effect with `device: cpu`, which always is: remove it", "deterministic")
        if self.mix and (other := next((key for key in ("fold", "overfit", "resident") if getattr(self, key)), None)):
            raise WrongValueError(f"smears are mixed into a set as a whole, and not with `{other}`: remove one", "mix")
        if self.overfit and self.fold:
            raise WrongValueError("chooses the samples, as `fold` does: remove one of them", "overfit")
        if self.images and self.images < self.epochs:
            raise WrongValueError(f"{self.images} cannot be shared by {self.epochs} epochs: give more", "images")
        if self.images and self.batch == 1 and self.images % self.epochs:
            raise WrongValueError(f"with a batch of 1, give a multiple of the {self.epochs} epochs", "images")
        return self

    @model_validator(mode="after")
    def _parasites_are_learnt_where_they_are_marked(self) -> "Config":
        if self.model.parasite and not self.loss.parasite and not self.start:
            raise WrongValueError("nothing would train it: give `loss.parasite: {}`, or remove it", "model", "parasite")
        if self.loss.parasite and not self.model.parasite:
            raise WrongValueError("no output would learn it: give `model.parasite: true`", "loss", "parasite")
        return self

    @model_validator(mode="after")
    def _single_cells_are_learnt_as_such(self) -> "Config":
        if self.model.crop is None:
            return self
        if not self.loss.cells:
            raise WrongValueError(f"{CELLS} names whole cells: give `loss.cells: {{weights: none}}`", "loss")
        if self.fold:
            raise WrongValueError(f"{CELLS} is trained on the set's own split: remove it", "fold")
        if self.model.parasite:
            raise WrongValueError("single cells are named, and no pixel of them: remove it", "model", "parasite")
        if self.resident:
            raise WrongValueError("would hold every crop of every smear: remove it", "resident")
        return self

    @property
    def measures_cells(self) -> bool:
        """Whether the validation split is measured cell by cell, too: where cells are learnt or watched."""
        return self.loss.cells is not None or self.monitor in OF_CELLS

    def maps(self, *, validation: bool) -> tuple[str, ...]:
        """The maps of `data.samples.MORE_MAPS` that batches need beside the label."""
        cells = self.loss.cells is not None or (validation and self.measures_cells)
        return (INSTANCE,) * cells + (PARASITE,) * (self.loss.parasite is not None)

    @field_validator("data")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("is empty: name a dataset, or remove the key")
        return value

    def deciding(self) -> dict[str, Any]:
        """What decides the trained network, as plain data."""
        plain = self.model_dump(mode="json", exclude=set(DECIDES_NOTHING))
        if self.mix:  # what is read of it has a digest
            plain["mix"] = {"data": Path(self.mix.data).name, "share": self.mix.share}
        for key in ("start", "mix"):
            if plain[key] is None:
                del plain[key]
        for holder, key in _LATER:
            if not plain[holder][key]:
                del plain[holder][key]
        return plain

    def digest(self) -> str:
        """sha256 of what decides the trained network, hex."""
        return hashlib.sha256(json.dumps(self.deciding(), sort_keys=True).encode()).hexdigest()


def load_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """The config in a YAML file, or the defaults, with "key=value" overrides laid over it in their order.

    `data`, `mix` and `fold.table` come back relative to the working folder, files of weights whole. Raises ConfigError
    (a UserError) with every error.
    """
    if path is None:
        return validate(Config, parse_config("{}", "the defaults", KIND), overrides)
    document = read_config(Path(path), KIND)
    inner = (("model", "pretrained"), ("model", "encoder_weights"), ("fold", "table"), ("mix", "data"), ("mix", "bank"))
    outer = ((document.data, key) for key in ("data", "start"))
    words = ("", IMAGENET, NONE)
    for holder, key in (*outer, *((document.data.get(name), key) for name, key in inner)):
        if isinstance(holder, dict) and isinstance(holder.get(key), str) and holder[key] not in words:
            holder[key] = str(Path(path).parent / holder[key])
    return validate(Config, document, overrides)
