"""The cells of a split of a set or recipe, each as a sample of its own: a square crop with the cell in its middle.

All pixels but the cell's own are ignored, so that losses and figures are of this one cell, whatever lies around it. In
blood nine of ten cells are healthy red cells, and a network that sees a kind seldom names it seldom: `balanced` gives
every kind its share. Where all red cells of a smear are infected, or none, a crop's neighbours tell what its cell is,
and a network that has learnt to look at them finds half as many infected cells in blood, where they are few.
"""

from collections.abc import Collection
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from segtrain.data.sampler import Index
from segtrain.data.samples import INSTANCE, Classes, Image, Label, Maps, Shards
from smearsynth.base.errors import UserError
from smearsynth.shards.format import Header
from smearsynth.taxonomy import IGNORE, RED_CELLS

_LEAST_VISIBLE = 0.6
"""Share of a cell's area that must be visible: of one that another hides, nobody can say what it is."""
_RED_SHARE = 0.5
"""Of the samples, those that are red cells: infected and healthy ones are told apart by less than all others are."""
_HELD_OUT = 100
"""Cells of each class and split that a training is validated on."""
_COLUMNS = ("class", "x", "y", "w", "h", "visible", "full")


class CellCrops(Shards):
    """Sample i is the crop around cell i, int64 number over all smears of the split."""

    def __init__(self, smears: Shards, *, crop: int) -> None:
        """smears: of a set or a recipe. crop: side in px. UserError where the set does not know its cells, or has no
        whole one."""
        self.root, self.split, self._smears, self._crop = smears.root, smears.split, smears, crop
        fields = self.header.fields
        if not set(_COLUMNS) <= set(fields):
            raise UserError(f"{self.root} does not know its cells: take a set that smearsynth built.")
        columns = [fields.index(name) for name in _COLUMNS]
        objects = [smears.objects(i)[:, columns] for i in range(len(smears))]
        smear = np.repeat(np.arange(len(smears)), [len(rows) for rows in objects])
        row = np.concatenate([np.arange(len(rows)) for rows in objects])
        kind, x, y, width, height, visible, full = np.concatenate(objects).T.astype(np.int64)
        kept = visible >= _LEAST_VISIBLE * full
        self._smear, self._row, self._kind = smear[kept], row[kept], kind[kept]
        self._left, self._top = (x + width // 2)[kept] - crop // 2, (y + height // 2)[kept] - crop // 2
        if not kept.any():
            raise UserError(f"{self.root} has no whole cell in its split {self.split!r}: choose another.")

    def __len__(self) -> int:
        return len(self._kind)

    @property
    def header(self) -> Header:
        """Of its smears."""
        return self._smears.header

    @property
    def classes(self) -> Classes:
        """The taxonomy."""
        return self._smears.classes

    @property
    def um_per_px(self) -> float:
        """Scale of the crops, micrometres per pixel."""
        return self._smears.um_per_px

    @property
    def digest(self) -> str:
        """Of its smears."""
        return self._smears.digest

    def has(self, name: str) -> bool:
        """Whether crops have that map: of which pixels are of the cell they do."""
        return name == INSTANCE

    def column(self, name: str) -> npt.NDArray[np.generic] | None:
        """That of its smears, a value for each cell."""
        values = self._smears.column(name)
        return None if values is None else values[self._smear]

    def pixels_per_class(self, samples: Index | None = None) -> npt.NDArray[np.int64]:
        """int64 (classes,): pixels of each class in the smears of `samples`, by default in all."""
        return self._smears.pixels_per_class(None if samples is None else np.unique(self._smear[samples]))

    @cached_property
    def size(self) -> tuple[int, int]:
        """(H, W) of the crops, px."""
        return self._crop, self._crop

    @cached_property
    def most_cells(self) -> int:
        """That a sample can have: the one in its middle."""
        return 1

    def read(self, i: int) -> tuple[Image, Label]:
        """The crop around cell i, mirrored beyond its smear's border, and its label: the class on the cell, else
        255."""
        image, label = self._smears.read(self._smear[i])
        inside = self._of_cell(i)
        return self._cut(image, i), np.where(inside, self._cut(label, i), np.uint8(IGNORE))

    def sample_id(self, i: int) -> str:
        """Its smear's name and the cell's number in it, as "train-00000042/7"."""
        return f"{self._smears.sample_id(self._smear[i])}/{self._row[i] + 1}"

    def objects(self, i: int) -> npt.NDArray[np.int32]:
        """int32 (1, F): the cell's row; columns as `header.fields` says."""
        return self._smears.objects(self._smear[i])[self._row[i]][None]

    def instance(self, i: int) -> npt.NDArray[np.uint16]:
        """uint16 (H, W): 1 on the cell, else 0."""
        return self._of_cell(i).astype(np.uint16)

    def more_maps(self, i: int, names: Collection[str]) -> Maps:
        """As `Shards.more_maps`."""
        return {INSTANCE: self._of_cell(i).astype(np.uint16)} if INSTANCE in names else {}

    def balanced(self) -> Index:
        """int64 (n,): numbers of cells, those of rarer classes several times, in the shares of `kind_shares`."""
        found = self.by_kind()
        share = kind_shares(found)
        total = max(len(numbers) / share[kind] for kind, numbers in found.items())
        return np.concatenate([np.resize(found[kind], round(share[kind] * total)) for kind in found])

    def by_kind(self) -> dict[int, Index]:
        """Class id -> numbers of the cells to learn it from. Red cells are of smears that hold infected and healthy
        ones, where there are any; of fields of blood, where few are infected and neighbours tell nothing, all."""
        found = {int(kind): self._of(kind) for kind in np.unique(self._kind)}
        both = np.intersect1d(*(self._smear[self._of(kind)] for kind in RED_CELLS))
        if len(both) and self.header.recipe_hash:
            beside = np.isin(self._smear, both)
            found |= {kind: found[kind][beside[found[kind]]] for kind in RED_CELLS}
        return found

    def some_of_each(self) -> Index:
        """int64 (n,): numbers of up to `_HELD_OUT` cells of each class, evenly over the split."""
        few = []
        for kind in np.unique(self._kind):
            numbers = self._of(kind)
            few.append(numbers[np.linspace(0, len(numbers) - 1, min(_HELD_OUT, len(numbers))).astype(int)])
        return np.sort(np.concatenate(few))

    def _of(self, kind: int) -> Index:
        return np.flatnonzero(self._kind == kind)

    def _of_cell(self, i: int) -> npt.NDArray[np.bool_]:
        where = (self._left[i], self._top[i], self._crop)
        return crop_at(self._smears.instance(self._smear[i]), *where, mirrored=False) == self._row[i] + 1

    def _cut(self, values: npt.NDArray[Any], i: int) -> npt.NDArray[Any]:
        return crop_at(values, self._left[i], self._top[i], self._crop)


def kind_shares(kinds: Collection[int]) -> dict[int, float]:
    """Of the classes, each class's share of the samples: red cells are `_RED_SHARE` of them, each of their kinds and
    each of the other classes as often as the next."""
    red = [kind for kind in kinds if kind in RED_CELLS]
    others = len(kinds) - len(red)
    return {kind: _RED_SHARE / len(red) if kind in red else (1 - _RED_SHARE) / others for kind in kinds}


def crop_at(values: npt.NDArray[Any], left: int, top: int, side: int, *, mirrored: bool = True) -> npt.NDArray[Any]:
    """The square of `side` px from (left, top) on, of an image or map, (H, W, ...); what lies beyond its border is
    mirrored, or 0."""
    rows, columns = (np.arange(start, start + side) for start in (top, left))
    (of_row, no_row), (of_column, no_column) = (
        _mirror(places, length) for places, length in zip((rows, columns), values.shape, strict=False)
    )
    found = values[of_row[:, None], of_column]
    if not mirrored:
        found[no_row] = 0
        found[:, no_column] = 0
    return found


def _mirror(places: Index, length: int) -> tuple[Index, npt.NDArray[np.bool_]]:
    """Where each place on a line of `length` px is found when it is mirrored at its ends, and whether it is beyond."""
    period = max(2 * (length - 1), 1)
    folded = np.abs(places) % period
    return np.minimum(folded, period - folded), (places < 0) | (places >= length)
