"""Samples of two origins as one split: a user's own few, and smears beside them, so that a network which learns the
first does not forget what it knew (rehearsal: Robins, Connection Science 7, 1995)."""

import hashlib
from collections.abc import Collection
from functools import cached_property

import numpy as np
import numpy.typing as npt

from segtrain.data.sampler import Index, shuffled_order
from segtrain.data.samples import Classes, Image, Label, Maps, Shards
from smearsynth.base.errors import UserError
from smearsynth.shards.format import Header


class Mixture(Shards):
    """The samples of `own`, and behind them those of `others`."""

    def __init__(self, own: Shards, others: Shards) -> None:
        """UserError where they differ in classes or scale."""
        self.root, self.split, self._own, self._others = own.root, own.split, own, others
        for what, mine, other in (
            ("classes", ", ".join(own.classes.keys), ", ".join(others.classes.keys)),
            ("um/px", f"{own.um_per_px:g}", f"{others.um_per_px:g}"),
        ):
            if mine != other:
                raise UserError(
                    f"mix.data: {others.root} has the {what} {other}, and {own.root} {mine}: mix in others."
                )

    def _of(self, i: int) -> tuple[Shards, int]:
        return (self._own, i) if i < len(self._own) else (self._others, i - len(self._own))

    def __len__(self) -> int:
        return len(self._own) + len(self._others)

    def read(self, i: int) -> tuple[Image, Label]:
        """Image and label of sample i, 0 to len - 1."""
        source, number = self._of(i)
        return source.read(number)

    def sample_id(self, i: int) -> str:
        """Its folder, and the name of sample i there."""
        source, number = self._of(i)
        return f"{source.root.name}/{source.sample_id(number)}"

    def objects(self, i: int) -> npt.NDArray[np.int32]:
        """int32 (n, F): the cells of sample i."""
        source, number = self._of(i)
        return source.objects(number)

    def instance(self, i: int) -> npt.NDArray[np.uint16]:
        """uint16 (H, W) of sample i: 0 or 1 + row of `objects`."""
        source, number = self._of(i)
        return source.instance(number)

    def more_maps(self, i: int, names: Collection[str]) -> Maps:
        """As `Shards.more_maps`."""
        source, number = self._of(i)
        return source.more_maps(number, names)

    def has(self, name: str) -> bool:
        """Whether all samples have that map."""
        return self._own.has(name) and self._others.has(name)

    def column(self, name: str) -> npt.NDArray[np.generic] | None:  # noqa: ARG002
        """None: what is recorded of both does not stand for one thing."""
        return None

    def pixels_per_class(self, samples: Index | None = None) -> npt.NDArray[np.int64]:
        """int64 (classes,): pixels of each class in `samples`, by default in all."""
        if samples is None:
            return self._own.pixels_per_class() + self._others.pixels_per_class()
        own = len(self._own)
        mine, theirs = samples[samples < own], samples[samples >= own] - own
        return self._own.pixels_per_class(mine) + self._others.pixels_per_class(theirs)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(H, W) of the images, px. UserError where both have not the same."""
        if self._own.size != self._others.size:
            (height, width), (h, w) = self._own.size, self._others.size
            raise UserError(
                f"mix.data: {self._others.root} has smears of {w} x {h} px, and {self.root} images of {width} x "
                f"{height} px: import those as patches of {h},{w} px, or build smears of that size."
            )
        return self._own.size

    @cached_property
    def most_cells(self) -> int:
        """That a sample can have."""
        return max(self._own.most_cells, self._others.most_cells)

    @property
    def header(self) -> Header:
        """Of the own samples."""
        return self._own.header

    @property
    def classes(self) -> Classes:
        """The taxonomy."""
        return self._own.classes

    @property
    def um_per_px(self) -> float:
        """Scale of the images, micrometres per pixel."""
        return self._own.um_per_px

    @property
    def digest(self) -> str:
        """sha256 over both digests, hex."""
        return hashlib.sha256(f"{self._own.digest} {self._others.digest}".encode()).hexdigest()


def mixed_order(own: Index, others: Index, *, share: float, images: int, first: int, seed: int) -> Index:
    """int64 (images,): samples of a mixture, of which `share` are of the others.

    own, others: numbers in their own splits of those to draw from, in a keyed order; where they are fewer than are due
    they come again, and where there are none the rest are all. first: number of the first of the others in the mixture.
    """
    due = round(images * share) if len(own) and len(others) else images * (len(own) == 0)
    mine = np.resize(own[shuffled_order(len(own), seed, 0)], images - due)
    return np.concatenate([mine, first + np.resize(others[shuffled_order(len(others), seed, 1)], due)])
