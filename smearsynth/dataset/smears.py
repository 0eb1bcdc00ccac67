"""The smears of a dataset as Python has them: splits by name, each a sequence of samples.

Where a sample comes from is its source's matter: `StoredSmears` reads the shards of a set, and `verbs.open` renders
those of a recipe. Arrays are copies, and may be written to; a set's files never change.
"""

import io
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from operator import index as as_integer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from smearsynth.base.errors import UserError
from smearsynth.dataset import layout
from smearsynth.dataset.index import read_index
from smearsynth.shards.format import FILE_NAME, Header, sample_digest
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import IGNORE, SPLITS

if TYPE_CHECKING:
    from smearsynth.dataset.torch_smears import TorchSmears, Transform

Arrays = dict[str, npt.NDArray[Any]]
"""Of one sample, by name: those of `MAPS`, and `objects`, int32 (n, F)."""
MAPS = ("image", "label", "instance", "parasite")
_REMEDY = "fetch the set again, or resume its build"


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One smear, with all that is known of it.

    image: uint8 (H, W, 3), RGB. label: uint8 (H, W), class ids; 255 = ignore, in imported sets only. instance: uint16
    (H, W), 0 = background, else 1 + row in `objects`. objects: a structured array (n,) of int32, a row for each cell
    from the lowest up, with the columns that `shards.format` describes (class, cell, cx, cy, ..., visible, full).
    parasite: uint8 (H, W), 0 none, 1 parasite, 255 unknown. An imported set knows no cells: instance and objects are
    None there, and so is parasite where a set does not know it. id: as "train-00000042". class_keys: by class id.

    >>> sample = smearsynth.open("quickstart")["train"][2]
    >>> sample.image.shape, sample.label.dtype, sample.objects["visible"].sum() == (sample.label > 0).sum()
    ((224, 224, 3), dtype('uint8'), np.True_)
    """

    id: str
    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.uint16] | None
    parasite: npt.NDArray[np.uint8] | None
    objects: npt.NDArray[np.void] | None
    class_keys: tuple[str, ...]
    class_colours: tuple[str, ...] = field(repr=False)

    @property
    def object_keys(self) -> list[str]:
        """The class of each row of `objects`, as its key; [] of an imported sample."""
        return [] if self.objects is None else [self.class_keys[c] for c in self.objects["class"]]

    @property
    def digest(self) -> str:
        """sha256 of the sample as it is now, 64 hex digits (see `shards.format.sample_digest`)."""
        return sample_digest(self.image, self.label, self.instance, self.parasite)

    def __repr__(self) -> str:
        height, width = self.label.shape
        named = Counter(self.object_keys) or [self.class_keys[c] for c in np.unique(self.label) if c != IGNORE]
        cells = ", ".join(f"{n} {key}" for key, n in named.items()) if isinstance(named, Counter) else ", ".join(named)
        return f"<Sample {self.id}: {width} x {height} px, {cells}>"

    def _repr_png_(self) -> bytes:
        """Image and label side by side, for notebooks."""
        from PIL import Image

        colours = np.full((256, 3), 255, np.uint8)
        colours[: len(self.class_colours)] = [tuple(bytes.fromhex(c[1:])) for c in self.class_colours]
        file = io.BytesIO()
        Image.fromarray(np.hstack([self.image, colours[self.label]])).save(file, "PNG")
        return file.getvalue()


class SmearSource(Protocol):
    """The samples of one split, by number. Cheap to pickle and to carry over a fork."""

    @property
    def header(self) -> Header:
        """What a shard of them says of itself."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of an image, px."""
        ...

    @property
    def most_objects(self) -> int:
        """That a sample can have."""
        ...

    def __len__(self) -> int: ...

    def sample_id(self, i: int) -> str:
        """The name of sample i, 0 to len - 1."""
        ...

    def read(self, i: int, names: Collection[str]) -> Arrays:
        """What sample i has of `names`."""
        ...

    def prepare(self) -> None:
        """Does what is done once, before processes are forked or spawned that each would do it."""
        ...


class SmearSplit(Sequence[Sample]):
    """A split, or a slice of one: a sequence of samples, each read or rendered when it is asked for.

    split: "train", "val" or "test". numbers: those of its samples within the split.

    >>> smears = smearsynth.open("quickstart")["train"]
    >>> len(smears), smears[-1].id, len(smears[:10:2])
    (400, 'train-00000399', 5)
    """

    def __init__(self, split: str, source: SmearSource, numbers: range | None = None) -> None:
        self.split, self._source = split, source
        self.numbers = range(len(source)) if numbers is None else numbers

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of an image, px."""
        return self._source.size

    @property
    def header(self) -> Header:
        """What a shard of them says of itself: classes, looks, hashes."""
        return self._source.header

    @property
    def most_objects(self) -> int:
        """That a sample can have; 0 in an imported set."""
        return self._source.most_objects if self._source.header.fields else 0

    @property
    def um_per_px(self) -> float:
        """Scale of the images, micrometres per pixel."""
        return self._source.header.um_per_px

    @property
    def class_keys(self) -> tuple[str, ...]:
        """The key of each class, by id."""
        return self._source.header.class_keys

    @property
    def class_colours(self) -> tuple[str, ...]:
        """The colour of each class, by id, sRGB "#rrggbb"."""
        return self._source.header.class_colours

    @property
    def maps(self) -> tuple[str, ...]:
        """Which of image, label, instance and parasite its samples have."""
        header = self._source.header
        there = (True, True, bool(header.fields), header.has_parasites)
        return tuple(name for name, known in zip(MAPS, there, strict=True) if known)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "SmearSplit": ...
    def __getitem__(self, index: int | slice) -> "Sample | SmearSplit":
        """A sample, from the end where `index` is negative; of a slice, a view. IndexError where there is none."""
        if isinstance(index, slice):
            return SmearSplit(self.split, self._source, self.numbers[index])
        header, number = self._source.header, self.number_of(index)
        arrays = self._source.read(number, (*MAPS, "objects"))
        objects = arrays.get("objects")
        return Sample(
            id=self._source.sample_id(number),
            image=arrays["image"],
            label=arrays["label"],
            instance=arrays.get("instance"),
            parasite=arrays.get("parasite"),
            objects=None if objects is None else _with_names(objects, header.fields),
            class_keys=header.class_keys,
            class_colours=header.class_colours,
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def number_of(self, index: int) -> int:
        """The number within the split of the sample at `index`. IndexError where there is none."""
        try:
            return self.numbers[as_integer(index)]
        except IndexError:
            raise IndexError(
                f"there is no sample {index}: these are {len(self)} of split {self.split!r}, numbered from 0"
            ) from None

    def id_of(self, index: int) -> str:
        """The name of the sample at `index`, as "train-00000042"."""
        return self._source.sample_id(self.number_of(index))

    def read(self, index: int, names: Collection[str]) -> Arrays:
        """Of the sample at `index` only the arrays in `names`, of `maps` or "objects": cheaper where labels are all one
        needs."""
        return self._source.read(self.number_of(index), names)

    def prepare(self) -> None:
        """Makes the cells of a recipe now, not at the first smear; of a set there is nothing to do."""
        self._source.prepare()

    def torch(self, transform: "Transform | None" = None, *, maps: Sequence[str] = (), seed: int = 0) -> "TorchSmears":
        """The samples as a `torch.utils.data.Dataset`, for any DataLoader; see `TorchSmears` for what it gives.

        transform: called before the conversion, as albumentations' are. maps: "instance" or "parasite", to be given
        behind the label. seed: what a transform's random draws are keyed by, with epoch and index.

        >>> image, label = smearsynth.open("quickstart")["train"].torch()[0]
        >>> image.shape, image.dtype, label.shape, label.dtype
        (torch.Size([3, 224, 224]), torch.float32, torch.Size([224, 224]), torch.int64)
        """
        from smearsynth.dataset.torch_smears import TorchSmears  # torch takes a second to load

        return TorchSmears(self, transform, maps=maps, seed=seed)

    def __repr__(self) -> str:
        height, width = self.size
        return f"<{len(self)} smears of split {self.split!r}, {width} x {height} px, with {', '.join(self.maps)}>"


class NoSuchSplitError(UserError, KeyError):
    """A split is asked for that is not there."""


class SmearSet(Mapping[str, SmearSplit]):
    """The splits of a set or of a recipe by name, in the order train, val, test.

    name: of the set. digest: of a set that is on disk, hex; "" of a recipe.

    >>> smears = smearsynth.open("quickstart")
    >>> smears
    <SmearSet quickstart: train 400, val 50, test 50>
    """

    def __init__(self, name: str, splits: Mapping[str, SmearSplit], *, digest: str = "") -> None:
        self.name, self._splits, self.digest = name, dict(splits), digest

    def __getitem__(self, split: str) -> SmearSplit:
        if split not in self._splits:
            raise NoSuchSplitError(f"{self.name} has no split {split!r}: name one of {', '.join(self._splits)}.")
        return self._splits[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)

    def __repr__(self) -> str:
        return f"<SmearSet {self.name}: {', '.join(f'{split} {len(them)}' for split, them in self.items())}>"


class StoredSmears:
    """A split of a set on disk. A process opens a shard at its first read."""

    def __init__(self, shards: Sequence[ShardReader], samples: Sequence[int]) -> None:
        """samples: of each shard."""
        self._shards, self._ends = tuple(shards), list(accumulate(samples))

    @cached_property
    def header(self) -> Header:
        return self._shards[0].header

    @cached_property
    def size(self) -> tuple[int, int]:
        height, width = self._shards[0].read("label", 0).shape
        return height, width

    @cached_property
    def most_objects(self) -> int:
        return max(len(shard.read("objects", 0)) for shard in self._shards)

    def __len__(self) -> int:
        return self._ends[-1]

    def sample_id(self, i: int) -> str:
        shard, row = self._find(i)
        return str(shard.column("sample_id")[row])

    def read(self, i: int, names: Collection[str]) -> Arrays:
        """UserError where the shard is damaged, a label is neither a class nor 255, or an instance no object."""
        shard, row = self._find(i)
        arrays: Arrays = {name: shard.read(name, row).copy() for name in names if name in shard.names & {*MAPS}}
        if "objects" in names and "objects" in shard.names:
            arrays["objects"] = shard.objects(row).copy()
        label = arrays.get("label", np.zeros(1, np.uint8))
        classes, most = len(self.header.class_keys), arrays.get("instance", np.zeros(1, np.uint16)).max()
        if label.max() >= classes and ((label >= classes) & (label != IGNORE)).any():
            raise UserError(f"{shard.path}: `label` of row {row} holds more than its {classes} classes; {_REMEDY}.")
        if most and most > shard.column("object_count")[row]:
            raise UserError(f"{shard.path}: `instance` of row {row} names object {most}, which is none; {_REMEDY}.")
        return arrays

    def prepare(self) -> None:
        pass

    def _find(self, i: int) -> tuple[ShardReader, int]:
        shard = bisect_right(self._ends, i)
        return self._shards[shard], i - (self._ends[shard - 1] if shard else 0)


def stored_smears(folder: Path) -> SmearSet:
    """The set in `folder`, built or imported. Raises UserError where there is none, or its index is damaged."""
    index, splits = read_index(folder), {}
    try:
        for split in SPLITS:
            files = [(f["name"], f["samples"]) for f in index["files"] if f.get("split") == split and f["samples"]]
            if not all(re.fullmatch(FILE_NAME, name) and samples > 0 for name, samples in files):
                raise ValueError("a file of it has no proper name or number of samples")
            if files:
                names, samples = zip(*files, strict=True)
                splits[split] = SmearSplit(split, StoredSmears([ShardReader(folder / name) for name in names], samples))
        return SmearSet(str(index.get("name", folder.name)), splits, digest=str(index["digest"]))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"{folder / layout.INDEX} is no index of a set ({error}): {_REMEDY}.") from error


def _with_names(objects: npt.NDArray[np.int32], fields: Sequence[str]) -> npt.NDArray[np.void]:
    """(n, F) as a structured array (n,), of the same memory."""
    return objects.view([(name, objects.dtype) for name in fields])[:, 0]
