"""The recipe: everything that decides a dataset, each key with its default, meaning and range.

What decides samples is hashed apart from what does not, such as names, counts and licences: `sample_settings` takes
plain data, so that it can be asked of a recipe that another version has resolved, too.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from smearsynth.base.config_file import ErrorLine, Key, Place, nearest_place
from smearsynth.base.validation import Spec, WrongValueError
from smearsynth.recipe.cell_options import CellsSpec
from smearsynth.recipe.look_options import LookSpec
from smearsynth.recipe.scene_options import SceneSpec
from smearsynth.recipe.source_options import SourceSpec


def _a_day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is no day of the calendar: write it as 2026-01-31') from None
    return text


class AboutSpec(Spec):
    """Who made the set, where and when. It decides no sample; a set that is handed on should have all of it."""

    version: str | None = Field(
        default=None,
        pattern=r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)$",
        description="version of the set, MAJOR.MINOR.PATCH: another major one has other samples",
    )
    creators: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="people or institutions that the set is to be cited by"
    )
    url: str | None = Field(
        default=None, pattern=r"^https?://[^\s<>\"{}|\\^`]+$", description="page on the web where the set is found"
    )
    published: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_a_day)] | None = Field(
        default=None, description="day on which the set was or will be published, as 2026-01-31"
    )
    limits: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="what the set can not show, a sentence each, beside what its counts tell anyway"
    )


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Scenes = Annotated[int, Field(ge=0)]


class CountSpec(Spec):
    """Scenes per split of a frozen set."""

    train: Scenes = Field(description="scenes for training")
    val: Scenes = Field(description="scenes for validation")
    test: Scenes = Field(description="scenes for testing")


class BeginningSpec(Spec):
    """The first scenes of each split of the frozen set, as `--limit` builds them."""

    count: CountSpec = Field(description="scenes per split")
    digest: Sha256 = Field(description="digest of a set of these, sha256")


class FrozenSpec(Spec):
    """What a build must have in common with the frozen set to claim its digest; all of it stands in the set's index.

    A build that differs in anything but the digest is another set: it is made, and says why it does not claim the
    digest. One that differs in the digest alone is wrong, and ends so.
    """

    format_version: int = Field(ge=1, description="version of the shard format that the set was built with")
    generator_version: int = Field(ge=1, description="version of the generator that the set was built with")
    recipe_hash: Sha256 = Field(description="hash of all keys that decide samples, sha256")
    bank_digest: Sha256 = Field(description="digest of the cells that the set was drawn from, sha256")
    count: CountSpec = Field(description="scenes per split")
    digest: Sha256 = Field(description="digest of the set, sha256: what the build must come to")
    beginnings: tuple[BeginningSpec, ...] = Field(
        default=(), description="smaller counts whose digests are known, too: what whoever checks the set builds first"
    )


_DECIDES_NOTHING = {"name", "count", "shards", "publish", "about", "lock", "frozen"}
_LATER_OF_A_SOURCE = {"rest": "ignore", "group": None, "group_column": None, "page": None}
_LATER: dict[str, dict[str, Any]] = {
    "cells": {"grafts": None},
    "scene": {"platelet_overlap": 0.0, "platelet_scale_range": None},
}
"""Keys that came later, which change no hash where they say what was so before."""
_DECIDES_NOTHING_OF_A_SOURCE = {"root", "title", "version", "licence", "redistribution", "cite", "most_refused"}


def sample_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What decides samples: not names, counts, paths, shards, licences and permissions."""
    sources = [
        _as_before(_without(source, _DECIDES_NOTHING_OF_A_SOURCE), _LATER_OF_A_SOURCE) for source in recipe["sources"]
    ]
    sections = {name: _as_before(recipe[name], later) for name, later in _LATER.items()}
    return {**_without(recipe, _DECIDES_NOTHING), **sections, "sources": sources}


def settings_hash(settings: Mapping[str, Any]) -> str:
    """sha256, hex, over `sample_settings`.

    Files of a source are no part of it: the digest of the bank stands for their content.
    """
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _as_before(section: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """The section without those later keys that have their old value."""
    return _without(section, {key for key, old in later.items() if section.get(key) == old})


def _without(mapping: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}


RECIPE_VERSION = 1
MOST_SAMPLES = 99_999_999
"""A sample id has eight digits."""

SplitName = Literal["train", "val", "test"]
Share = Annotated[float, Field(gt=0, lt=1)]
Side = Annotated[int, Field(ge=64, le=4096)]
Samples = Annotated[int, Field(ge=0, le=MOST_SAMPLES)]


def _square(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Size = Annotated[
    tuple[Side, Side],
    BeforeValidator(_square),
    WithJsonSchema(
        {
            "anyOf": [
                side := {"type": "integer", "minimum": 64, "maximum": 4096},
                {"type": "array", "items": side, "minItems": 2, "maxItems": 2},
            ]
        }
    ),
]


def _all_splits(counts: dict[SplitName, int]) -> dict[SplitName, int]:
    if not any(counts.values()):
        raise ValueError("asks for no smear at all: give at least one split a number, as in {train: 400}")
    return {"train": counts.get("train", 0), "val": counts.get("val", 0), "test": counts.get("test", 0)}


class SplitSpec(Spec):
    """Share of each class's cells that goes to each split; they sum to 1."""

    train: Share = Field(default=0.8, description="share of the cells for training; above 0, below 1")
    val: Share = Field(default=0.1, description="share of the cells for validation; above 0, below 1")
    test: Share = Field(default=0.1, description="share of the cells for testing; above 0, below 1")

    @model_validator(mode="after")
    def _whole(self) -> "SplitSpec":
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, val and test sum to {total:.6g}: change them to sum to 1")
        return self


class ShardsSpec(Spec):
    """How the files of the dataset are cut; it decides no sample."""

    samples: int = Field(default=1024, ge=1, le=65_536, description="smears per shard file; 1-65536")
    codec: Literal["gzip", "none"] = Field(
        default="gzip", description="compression inside the HDF5 files: gzip or none"
    )


class Recipe(Spec):
    """A smearsynth recipe: what a dataset of synthetic blood smears is made from and what it holds."""

    version: int = Field(default=RECIPE_VERSION, ge=1, description="version of the recipe's format; 1")
    name: str = Field(
        default="smears",
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$",
        description="name of the dataset and of the folder it is built in: letters, digits, and . _ - between them",
    )
    seed: int = Field(default=0, ge=0, le=2**63 - 1, description="key of every random draw; 0 to 2**63-1")
    size: Size = Field(
        default=(224, 224), description="field of a smear in px at 0.20 um: a side, or [height, width]; 64-4096"
    )
    count: Annotated[dict[SplitName, Samples], AfterValidator(_all_splits)] = Field(
        default={"train": 8000, "val": 1000, "test": 1000},
        description="scenes per split, each a smear in every look; a split that is left out has none; 0-99999999",
    )
    sources: tuple[SourceSpec, ...] = Field(min_length=1, max_length=255, description="where the cells come from")
    cells: CellsSpec = Field(default=CellsSpec(), description="quality gate, mix of sources, assembled clumps")
    split: SplitSpec = Field(default=SplitSpec(), description="share of the cells for train, val and test")
    scene: SceneSpec = Field(default=SceneSpec(), description="what a smear holds and how its cells lie")
    looks: tuple[LookSpec, ...] = Field(
        default=(LookSpec(name="natural"),),
        min_length=1,
        max_length=255,
        description="how smears are coloured, each smear by every look: natural, reference, or a mapping that "
        "overrides one of them",
    )
    shards: ShardsSpec = Field(default=ShardsSpec(), description="how the files of the dataset are cut")
    publish: bool = Field(default=False, description="the set is to be handed on: refuses sources that may not be")
    about: AboutSpec = Field(
        default=AboutSpec(),
        description="who made the set, where it is found, its version, day and limits: for card and Croissant",
    )
    lock: str | None = Field(
        default=None,
        description="sources.lock of a dataset, relative to the recipe: only the files it names are read, and they "
        "must be there and unchanged; null: all files",
    )
    frozen: FrozenSpec | None = Field(
        default=None,
        description="the published set of this recipe, copied from its index.json: a build that has the same versions, "
        "recipe, cells and counts must come to the same digest, else it fails; one that has not makes another set and "
        "says why it does not claim that digest; null: nothing is claimed",
    )
    _folder: Path = PrivateAttr(default=Path())
    _places: Mapping[Key, Place] = PrivateAttr(default={(): Place("recipe")})

    @field_validator("version")
    @classmethod
    def _not_newer(cls, value: int) -> int:
        if value > RECIPE_VERSION:
            raise ValueError(
                f"version {value} is newer than this smearsynth reads ({RECIPE_VERSION}): update smearsynth"
            )
        return value

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, value: tuple[SourceSpec, ...]) -> tuple[SourceSpec, ...]:
        names = [source.name for source in value]
        for i, name in enumerate(names):
            if name in names[:i]:
                first = names.index(name)
                raise WrongValueError(f'sources[{first}] is "{name}" too: give this one another `name`', i, "name")
        return value

    @field_validator("cells")
    @classmethod
    def _mixed_sources_exist(cls, value: CellsSpec, info: ValidationInfo) -> CellsSpec:
        names = [source.name for source in info.data.get("sources", ())]
        for class_key, shares in value.mix.items():
            for name in shares:
                if names and name not in names:
                    sentence = f'there is no source "{name}": the sources are {", ".join(names)}'
                    raise WrongValueError(sentence, "mix", class_key)
        return value

    @field_validator("looks")
    @classmethod
    def _looks_differ(cls, value: tuple[LookSpec, ...]) -> tuple[LookSpec, ...]:
        names = [look.name for look in value]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise WrongValueError(f'a look "{name}" stands before it: give this one another name', i)
        return value

    def error_at(self, key: Key, sentence: str) -> ErrorLine:
        """An error of this recipe at `key`, with the file and line that the key was read from."""
        return ErrorLine(nearest_place(self._places, key), key, sentence)

    @property
    def lock_file(self) -> Path | None:
        """The file that `lock` names, seen from the recipe's folder."""
        return None if self.lock is None else self._folder / self.lock

    def sample_settings(self) -> dict[str, Any]:
        """What decides samples, as plain data."""
        return sample_settings(self.model_dump(mode="json"))

    def sample_hash(self) -> str:
        """sha256, hex, over `sample_settings`."""
        return settings_hash(self.sample_settings())
