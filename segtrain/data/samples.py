"""The samples of one split of a dataset, by number."""

import json
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smearsynth.errors import UserError
from smearsynth.shards.format import Header
from smearsynth.shards.reader import ShardReader

Image = npt.NDArray[np.uint8]
Label = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Classes:
    """The taxonomy of a dataset: label ids 0 to n - 1, a key and an sRGB "#rrggbb" of each."""

    ids: tuple[int, ...]
    keys: tuple[str, ...]
    colours: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


class Shards:
    """One split of a dataset. Cheap to pickle and to carry over a fork: a process opens a shard at its first read."""

    def __init__(self, root: Path, split: str) -> None:
        """root: folder of a finished dataset. UserError where it has no index or no samples in `split`."""
        self.root, self.split = Path(root), split
        self._index = _read_index(self.root)
        files = [f for f in self._index["files"] if f.get("split") == split and f["samples"]]
        if not files:
            raise UserError(
                f"{self.root} has no samples in its split {split!r}: choose another, or build one with more."
            )
        self._shards = [ShardReader(self.root / f["name"]) for f in files]
        self._ends = list(accumulate(f["samples"] for f in files))

    def __len__(self) -> int:
        return self._ends[-1]

    def read(self, i: int) -> tuple[Image, Label]:
        """Sample i, 0 to len - 1: image u1 (H, W, 3) RGB and label u1 (H, W), both read-only."""
        shard, row = self._find(i)
        return shard.read("image", row).view(np.uint8), shard.read("label", row).view(np.uint8)

    def sample_id(self, i: int) -> str:
        """The name of sample i, as "train-00000042"."""
        shard, row = self._find(i)
        return str(shard.column("sample_id")[row])

    @property
    def digest(self) -> str:
        """Digest of the whole dataset, hex."""
        return str(self._index["digest"])

    @cached_property
    def classes(self) -> Classes:
        """The taxonomy in the shards. UserError where the ids are not 0 to n - 1."""
        header = self._header
        if header.class_ids != tuple(range(len(header.class_ids))):
            raise UserError(
                f"{self._shards[0].path} has class ids {header.class_ids}; number them from 0 without gaps."
            )
        return Classes(header.class_ids, header.class_keys, header.class_colours)

    @property
    def um_per_px(self) -> float:
        """Scale of the images, micrometres per pixel."""
        return float(self._header.um_per_px)

    def pixels_per_class(self) -> npt.NDArray[np.int64]:
        """i8 (classes,): pixels of each class over the split, as the index has them, else counted; no ignored ones."""
        pixels = self._index.get("splits", {}).get(self.split, {}).get("pixels")
        if pixels is not None:
            return np.array([pixels[key] for key in self.classes.keys], np.int64)
        total = np.zeros(256, np.int64)
        for i in range(len(self)):
            shard, row = self._find(i)
            total += np.bincount(shard.read("label", row).ravel(), minlength=256)
        return total[: len(self.classes)]

    @cached_property
    def size(self) -> tuple[int, int]:
        """(H, W) of the images, px. UserError where they are of several sizes."""
        shapes = {shard.read("label", 0).shape: shard.path.name for shard in self._shards}
        if len(shapes) > 1:
            raise UserError(
                f"{self.root} has images of several sizes ({_listed(shapes)}) in its split {self.split!r}, and a batch "
                "needs one: import them as patches of one size."
            )
        height, width = next(iter(shapes))
        return height, width

    @cached_property
    def _header(self) -> Header:
        return self._shards[0].header

    def _find(self, i: int) -> tuple[ShardReader, int]:
        if not 0 <= i < len(self):
            raise IndexError(f"{self.root} has samples 0 to {len(self) - 1} in {self.split!r}, not {i}.")
        shard = bisect_right(self._ends, i)
        return self._shards[shard], i - (self._ends[shard - 1] if shard else 0)


def _listed(shapes: dict[tuple[int, ...], str]) -> str:
    return ", ".join(f"{name}: {width} x {height} px" for (height, width), name in shapes.items())


def _read_index(root: Path) -> dict[str, Any]:
    path = root / "index.json"
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {root} is no finished dataset; build one with smearsynth.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): build the set again with --resume.") from error
    return index
