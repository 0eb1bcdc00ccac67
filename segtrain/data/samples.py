"""The samples of a split of a dataset, or of several splits, by number.

A dataset is a folder of shards with an `index.json` and, of a set that was composed of cells, the bank of these cells
beside them. Index and shards may be of others: whatever is read of them is checked where it is read, and refused in one
sentence.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smearsynth.base import json_values
from smearsynth.base.errors import UserError, first_line
from smearsynth.base.hdf5 import UNREADABLE, is_contiguous, is_of, open_to_read, own_dataset
from smearsynth.shards.format import FILE_NAME, Header
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import IGNORE, UNSURE

Image = npt.NDArray[np.uint8]
"""uint8 (H, W, 3), RGB."""
Label = npt.NDArray[np.uint8]
"""uint8 (H, W): class ids, 255 = ignored."""

Maps = dict[str, npt.NDArray[np.unsignedinteger[Any]]]
"""Maps of a sample, (H, W) each, by name: label, and where they are asked for those of `MORE_MAPS`."""
INSTANCE, PARASITE = "instance", "parasite"
MORE_MAPS = (INSTANCE, PARASITE)
"""uint16, 0 or 1 + row of the cell in `objects`; uint8, 0 no parasite, 1 parasite, 255 not known."""
OUTSIDE = {"label": IGNORE, INSTANCE: 0, PARASITE: IGNORE}
"""Of each map, what is beyond the border of its image."""
_GREY = "#808080"
INDEX, BANK = "index.json", "cells.h5"
_MOST_BYTES = 16_000_000
"""An index has some hundred bytes per shard; what is larger is another kind of file."""
_REBUILD = ": resume the build of the set."
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Classes:
    """The taxonomy of a dataset: label ids 0 to n - 1, a key and an sRGB "#rrggbb" of each."""

    ids: tuple[int, ...]
    keys: tuple[str, ...]
    colours: tuple[str, ...]

    def __post_init__(self) -> None:
        if UNSURE in self.keys:
            raise UserError(f"a class has the key {UNSURE!r}, which is what a cell without a name is called: rename it")

    def __len__(self) -> int:
        return len(self.ids)

    def id_of(self, kind: str) -> int:
        """Of a class's key, or `IGNORE` of `UNSURE`."""
        return id_of(kind, self.keys)

    def colour_of(self, kind: str) -> str:
        """Of a class's key, or grey of `UNSURE`."""
        return _GREY if kind == UNSURE else self.colours[self.keys.index(kind)]

    def name_of(self, number: int) -> str:
        """The key of a class, or `UNSURE`."""
        return UNSURE if number == IGNORE else self.keys[number]


def id_of(kind: str, keys: Sequence[str]) -> int:
    """The id of a class by its key, `IGNORE` of `UNSURE`."""
    return IGNORE if kind == UNSURE else keys.index(kind)


class Shards:
    """One split of a dataset, or several as one. Cheap to pickle and to carry over a fork: a process opens a shard at
    its first read."""

    def __init__(self, root: Path, *splits: str) -> None:
        """root: folder of a finished dataset. UserError where it has no index or no samples in `splits`."""
        self.root, self.split, self._splits = Path(root), " and ".join(splits), splits
        self.index = read_index(self.root)
        """What index.json holds; files and digest are checked, all else is as it was found."""
        files = [f for f in self.index["files"] if f.get("split") in splits and f.get("samples")]
        files.sort(key=lambda f: splits.index(f["split"]))
        if not files:
            raise UserError(
                f"{self.root} has no samples in its split {self.split!r}: choose another, or build one with more."
            )
        if not all(_names_a_shard(f) for f in files):
            raise UserError(
                f"{self.root / INDEX}: a file of split {self.split!r} lacks its name or number of samples{_REBUILD}"
            )
        self._shards = [ShardReader(self.root / f["name"]) for f in files]
        self._ends = list(accumulate(f["samples"] for f in files))

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, i: int) -> tuple[Image, Label]:
        """Image and label of sample i, 0 to len - 1, both read-only. UserError where it is damaged, or a label is
        neither a class nor 255."""
        shard, row = self._find(i)
        return shard.read("image", row).view(np.uint8), self._label(shard, row)

    def sample_id(self, i: int) -> str:
        """The name of sample i, as "train-00000042"."""
        shard, row = self._find(i)
        return str(shard.column("sample_id")[row])

    def objects(self, i: int) -> npt.NDArray[np.int32]:
        """int32 (n, F): the cells of sample i; columns as `header.fields` says, of a set that was built."""
        shard, row = self._find(i)
        return shard.objects(row)

    def instance(self, i: int) -> npt.NDArray[np.uint16]:
        """uint16 (H, W) of sample i: 0 or 1 + row of `objects`. UserError where there is no such row."""
        shard, row = self._find(i)
        instance = shard.read("instance", row).view(np.uint16)
        rows = int(shard.column("object_count")[row])
        if instance.max() > rows:
            raise UserError(f"{shard.path}: `instance` of row {row} names object {instance.max()} of {rows}{_REBUILD}")
        return instance

    def more_maps(self, i: int, names: Collection[str]) -> Maps:
        """Maps of sample i that are in `names`, of `MORE_MAPS`. UserError where a value is none that such a map has."""
        maps: Maps = {INSTANCE: self.instance(i)} if INSTANCE in names else {}
        if PARASITE in names:
            shard, row = self._find(i)
            mask = shard.read(PARASITE, row).view(np.uint8)
            if ((mask > 1) & (mask != IGNORE)).any():
                raise UserError(f"{shard.path}: `parasite` of row {row} is neither 0, 1 nor {IGNORE}{_REBUILD}")
            maps[PARASITE] = mask
        return maps

    def has(self, name: str) -> bool:
        """Whether every shard has that dataset."""
        return all(name in shard.names for shard in self._shards)

    @cached_property
    def most_cells(self) -> int:
        """The most cells that a sample can have; of a set that knows them."""
        return max(len(shard.read("objects", 0)) for shard in self._shards)

    def column(self, name: str) -> npt.NDArray[np.generic] | None:
        """A dataset of a few bytes per sample, (N, ...); None in a set that does not record it."""
        if not self.has(name):
            return None
        return np.concatenate([shard.column(name) for shard in self._shards])

    @property
    def digest(self) -> str:
        """Digest of the whole dataset, hex."""
        return str(self.index["digest"])

    @cached_property
    def header(self) -> Header:
        """The attributes of the first shard."""
        return self._shards[0].header

    @cached_property
    def classes(self) -> Classes:
        """The taxonomy in the shards. UserError where the ids are not 0 to n - 1, or keys and colours not as many."""
        header, path = self.header, self._shards[0].path
        if header.class_ids != tuple(range(len(header.class_ids))):
            raise UserError(f"{path} has class ids {header.class_ids}; number them from 0 without gaps.")
        if not len(header.class_ids) == len(header.class_keys) == len(header.class_colours):
            raise UserError(
                f"{path}: class_ids, class_keys and class_colours differ in length; give each class all three."
            )
        if not all(_COLOUR.fullmatch(str(colour)) for colour in header.class_colours):
            raise UserError(f'{path}: class_colours holds {header.class_colours}; write each as "#rrggbb".')
        return Classes(header.class_ids, header.class_keys, header.class_colours)

    @property
    def um_per_px(self) -> float:
        """Scale of the images, micrometres per pixel. UserError where it is none."""
        value = self.header.um_per_px
        if not 0 < value < math.inf:
            raise UserError(f"{self._shards[0].path}: um_per_px is {value!r}; state micrometres per pixel.")
        return float(value)

    @cached_property
    def groups(self) -> npt.NDArray[np.int64] | None:
        """int64 (N,): number of each sample's patient or source image; None in a set that records none."""
        group = self.column("group")
        return None if group is None else group.astype(np.int64)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(H, W) of the images, px. UserError where they are of several sizes, or a shard is not as the index says."""
        starts = [0, *self._ends]
        rows = (end - start for start, end in pairwise(starts))
        shapes = {_image_size(shard, n): shard.path.name for shard, n in zip(self._shards, rows, strict=True)}
        if len(shapes) > 1:
            sizes = ", ".join(f"{name}: {width} x {height} px" for (height, width), name in shapes.items())
            raise UserError(
                f"{self.root} has images of several sizes ({sizes}) in its split {self.split!r}, and a batch needs "
                "one: import them as patches of one size."
            )
        height, width = next(iter(shapes))
        return height, width

    def pixels_per_class(self, samples: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
        """int64 (classes,): pixels of each class, without ignored ones. UserError where there are only ignored ones.

        samples: numbers of those to count; None: the whole split, as the index has it, or counted where it has not.
        """
        total = self._pixels_of_index() if samples is None else None
        if total is None:
            total = np.zeros(256, np.int64)
            for i in range(len(self)) if samples is None else samples.tolist():
                total += np.bincount(self._label(*self._find(i)).ravel(), minlength=256)
        total = total[: len(self.classes)]
        if not total.any():
            raise UserError(f"{self.root} has no pixel of any class in its split {self.split!r}: give it labels.")
        return total

    def _pixels_of_index(self) -> npt.NDArray[np.int64] | None:
        try:
            of_splits = self.index.get("splits", {})
            found = [of_splits.get(split, {}).get("pixels") for split in self._splits]
            if any(pixels is None for pixels in found):
                return None
            return np.array([[pixels[key] for key in self.classes.keys] for pixels in found], np.int64).sum(axis=0)
        except (AttributeError, KeyError, TypeError, ValueError):
            where = f"{self.root / INDEX}: splits.{self.split}.pixels"
            raise UserError(f"{where} is not a number for each class of the shards{_REBUILD}") from None

    def _label(self, shard: ShardReader, row: int) -> Label:
        label = shard.read("label", row).view(np.uint8)
        classes = len(self.classes)
        # The largest is found in a quarter of the time that comparing every pixel takes, and mostly settles it.
        if label.max() >= classes:
            unknown = label[(label >= classes) & (label != IGNORE)]
            if unknown.size:
                raise UserError(
                    f"{shard.path}: row {row} has the label {unknown[0]}, which is neither a class (0 to "
                    f"{classes - 1}) nor {IGNORE}: its labels are of another taxonomy; import or build the set again."
                )
        return label

    def _find(self, i: int) -> tuple[ShardReader, int]:
        if not 0 <= i < self._ends[-1]:
            raise IndexError(f"{self.root} has samples 0 to {self._ends[-1] - 1} in {self.split!r}, not {i}.")
        shard = bisect_right(self._ends, i)
        return self._shards[shard], i - (self._ends[shard - 1] if shard else 0)


def _image_size(shard: ShardReader, rows: int) -> tuple[int, ...]:
    """(H, W) of a shard's images. UserError where it has not just `rows` samples with all that is read of them."""
    missing = {"image", "label", "sample_id"} - shard.names
    if missing:
        raise UserError(f"{shard.path} has no dataset {' or '.join(sorted(missing))}{_REBUILD}")
    if len(shard) != rows:
        raise UserError(f"{shard.path} has {len(shard)} samples, and {rows} in the index{_REBUILD}")
    return shard.read("label", rows - 1).shape


def _names_a_shard(file: dict[str, Any]) -> bool:
    """Whether an entry of the index names a file of the folder itself, and how many samples it has."""
    name, samples = file.get("name"), file["samples"]
    return isinstance(name, str) and bool(re.fullmatch(FILE_NAME, name)) and type(samples) is int and samples > 0


def read_index(root: Path) -> dict[str, Any]:
    """What index.json of a dataset holds. UserError where it is missing, or lacks what shards are read by."""
    path = root / INDEX
    if root.is_file():
        raise UserError(f"{root} is a file, and here a set on disk is needed: build it, or name a set's folder.")
    try:
        index, _ = json_values.read_json(path, _MOST_BYTES)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {root} is no finished dataset; build one with smearsynth.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}){_REBUILD}") from error
    if not isinstance(index, dict):
        raise UserError(f"{path} is no index of a dataset: it holds no mapping{_REBUILD}")
    files = index.get("files")
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise UserError(f"{path} is no index of a dataset: it has no list of `files`{_REBUILD}")
    if not isinstance(index.get("digest"), str):
        raise UserError(f"{path} is no index of a dataset: it has no `digest`{_REBUILD}")
    return index


@dataclass(frozen=True)
class CellSources:
    """Which database each cell of a set is from.

    path: of the bank. names: of the sources. source: uint8 (n,), place in `names` of each cell of the bank.
    """

    path: Path
    names: tuple[str, ...]
    source: npt.NDArray[np.uint8]

    def of(self, cell: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Place in `names` of cells. UserError where the bank has no such cell."""
        if cell.min(initial=0) < 0 or cell.max(initial=0) >= len(self.source):
            raise UserError(f"{self.path} lacks cells that the shards name: fetch the set again.")
        return self.source[cell]


def read_cell_sources(root: Path, bank_digest: str) -> CellSources | None:
    """Of the set in `root`, whose shards were drawn from the bank of that digest; None where the bank is not there.
    UserError for a file that is damaged, or is another bank. No colour of a cell is read."""
    path = root / BANK
    if not path.is_file():
        return None
    try:
        with open_to_read(path) as file:
            source, names = (own_dataset(file, name) for name in ("source", "sources"))
            if not is_of(source, "u1") or names.dtype.kind != "S" or source.ndim != 1 or names.ndim != 1:
                raise ValueError("its sources are of another type")
            if not is_contiguous(source) or not is_contiguous(names):
                raise ValueError("its sources are not stored in one piece")
            found = CellSources(path, tuple(name.decode() for name in names[()].tolist()), source[()])
            digest = bytes(file.attrs["digest"]).decode()
        if found.source.max(initial=0) >= len(found.names):
            raise ValueError("a source is not in its list")
    except UserError:
        raise
    except UNREADABLE as error:
        raise UserError(f"{path} is no whole bank ({first_line(error)}): fetch it again, or take it away.") from error
    if digest != bank_digest:
        raise UserError(f"{path} is not the bank that {root} was drawn from: put that there, or take this one away.")
    return found
