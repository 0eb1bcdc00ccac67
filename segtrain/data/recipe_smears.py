"""A split of a recipe, to a training as if it were on disk: a smear is made when a batch is due.

No smear is seen twice, so a training of any length needs no room on a disk, and cannot learn a set by heart. Sample i
is the one that `smearsynth build` would write there, so the order of batches decides everything, as with a set.

A smear takes some milliseconds of Python and compiled loops that hold the interpreter's lock: each thread of the loader
has a process that makes its smears.
"""

import hashlib
import threading
from collections.abc import Collection
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

import smearsynth
from segtrain.data.samples import INSTANCE, Classes, Image, Label, Maps, Shards
from smearsynth.base.errors import UserError
from smearsynth.base.workers import Companions
from smearsynth.shards.format import Header

if TYPE_CHECKING:
    from smearsynth.dataset.smears import SmearSplit

_COUNTED = 512
"""Smears whose pixels stand for those of all: with the 108 combinations in turn, each is among them four times."""


class RecipeSmears(Shards):
    """A split of a recipe; what it does not override of `Shards` rests on what it does."""

    def __init__(
        self, recipe: Path, split: str, *, bank: str | None = None, epochs: int = 1, images: int | None = None
    ) -> None:
        """bank: file of the recipe's cells; None: they are cut. The split has `images` samples, or `epochs` times what
        the recipe counts. UserError as of `smearsynth.open`, and where the recipe counts none in that split."""
        self.root, self.split = recipe, split
        smears = smearsynth.open(recipe, bank=bank)
        if split not in smears:
            raise UserError(f"{recipe}: count.{split} is 0, and a training needs some: raise it.")
        wanted = images or epochs * len(smears[split])
        looks = len(smears[split].header.looks)
        self._smears: SmearSplit = smearsynth.open(
            recipe, bank=bank, overrides=[f"count.{split}={-(-wanted // looks)}"]
        )[split][:wanted]
        self._smears.prepare()
        self._render = Companions(partial(_maps, self._smears))
        self._last = threading.local()

    def __len__(self) -> int:
        return len(self._smears)

    def read(self, i: int) -> tuple[Image, Label]:
        """Image and label of sample i, 0 to len - 1."""
        made = self._made(i)
        return made["image"], made["label"]

    def more_maps(self, i: int, names: Collection[str]) -> Maps:
        """Maps of sample i that are in `names`, of `MORE_MAPS`."""
        made = self._made(i)
        return {name: made[name] for name in names}

    def instance(self, i: int) -> npt.NDArray[np.uint16]:
        """uint16 (H, W) of sample i: 0 or 1 + row of `objects`."""
        return self._made(i)[INSTANCE]

    def objects(self, i: int) -> npt.NDArray[np.int32]:
        """int32 (n, F): the cells of sample i; columns as `header.fields` says."""
        return self._smears.read(i, ("objects",))["objects"]

    def sample_id(self, i: int) -> str:
        """The name of sample i, as "train-00000042"."""
        return self._smears.id_of(i)

    def has(self, name: str) -> bool:
        """Whether its samples have that map."""
        return name in self._smears.maps

    def column(self, name: str) -> npt.NDArray[np.generic] | None:  # noqa: ARG002
        """None: nothing is recorded of samples that are still to be made."""
        return None

    def pixels_per_class(self, samples: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
        """int64 (classes,): pixels of each class in `samples`, by default in the first `_COUNTED`."""
        numbers = range(min(len(self), _COUNTED)) if samples is None else samples.tolist()
        total = np.zeros(len(self.classes), np.int64)
        for i in numbers:
            total += np.bincount(self._smears.read(i, ("label",))["label"].ravel(), minlength=len(total))
        return total

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the images, px."""
        return self._smears.size

    @property
    def most_cells(self) -> int:
        """The most cells that a sample can have."""
        return self._smears.most_objects

    @property
    def header(self) -> Header:
        """What shards of them would say."""
        return self._smears.header

    @cached_property
    def classes(self) -> Classes:
        """The taxonomy."""
        header = self.header
        return Classes(header.class_ids, header.class_keys, header.class_colours)

    @property
    def um_per_px(self) -> float:
        """Scale of the images, micrometres per pixel."""
        return self._smears.um_per_px

    @property
    def digest(self) -> str:
        """sha256, hex, of what decides the samples: recipe, cells, generator, and how many there are."""
        return self.digest_of(len(self))

    def digest_of(self, samples: int) -> str:
        """The digest of so many of them."""
        header = self.header
        decides = header.recipe_hash, header.bank_digest, header.generator_version, self.split, samples
        return hashlib.sha256(repr(decides).encode()).hexdigest()

    def _made(self, i: int) -> Maps:
        """All maps of sample i: those made last are kept for the thread that asked, which reads them one by one."""
        number, made = getattr(self._last, "made", (-1, {}))
        if number != i:
            made = self._render(i)
            self._last.made = i, made
        return made


def _maps(smears: "SmearSplit", i: int) -> Maps:
    return smears.read(i, smears.maps)
