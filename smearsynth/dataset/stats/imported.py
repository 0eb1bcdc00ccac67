"""What a set holds that `segtrain import` made: images and labels, but no cells that were placed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from smearsynth.dataset import layout
from smearsynth.dataset.classes import classes_of
from smearsynth.dataset.index import read_index
from smearsynth.dataset.verify.stated import Count, Counts, File, Hash
from smearsynth.errors import UserError
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import IGNORE, SPLITS

MISSING = "objects, combinations, sizes of cells, sources and refusals"
"""What only a set that was built from cells can tell of."""


@dataclass(frozen=True, kw_only=True)
class ImportedStats:
    """classes: keys, by id. sizes: samples of each size, "WIDTHxHEIGHT" in px. splits: per split, samples, images that
    they were cut from, groups, pixels per class key, and `ignored`, pixels that nobody knows. missing: what can not be
    told.
    """

    name: str
    digest: str
    um_per_px: float
    samples: int
    classes: tuple[str, ...]
    sizes: dict[str, int]
    splits: dict[str, dict[str, Any]]
    missing: str = MISSING


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Split(_Part):
    samples: Count
    images: Count
    groups: Count
    pixels: Counts
    ignored: Count


class _Splits(_Part):
    train: _Split
    val: _Split
    test: _Split


class _Index(_Part):
    """Part of what `segtrain import` tells."""

    digest: Hash
    um_per_px: float
    samples: Count
    splits: _Splits
    files: tuple[File, ...]


def is_imported(folder: Path) -> bool:
    """UserError where there is no index that can be read."""
    index = read_index(folder)
    return isinstance(index, dict) and "imported" in index


def measure_imported(folder: Path, *, progress: bool) -> ImportedStats:
    """Reads every label. Raises UserError: a shard that can't be read, an index that its shards contradict."""
    stated = _stated(folder)
    told = stated.splits.model_dump()
    shards = [file for split in SPLITS for file in stated.files if file.split == split]
    counted = {split: np.zeros(256, np.int64) for split in SPLITS}
    sizes: dict[str, int] = {}
    keys: tuple[str, ...] = ()
    for file in tqdm(shards, "labels", unit="shard", leave=False, disable=None if progress else True):
        reader = ShardReader(folder / file.name)
        keys = tuple(c.key for c in classes_of(reader.path, reader.header))
        for row in range(len(reader)):
            label = reader.read("label", row)
            counted[str(file.split)] += np.bincount(label.ravel(), minlength=256)
            size = f"{label.shape[1]}x{label.shape[0]}"
            sizes[size] = sizes.get(size, 0) + 1
    for split, pixels in counted.items():
        if not _agree(told[split], keys, pixels):
            raise UserError(f"{folder / layout.INDEX} does not tell what the shards of {split} hold: import it again.")
    return ImportedStats(
        name=folder.resolve().name,
        digest=stated.digest,
        um_per_px=stated.um_per_px,
        samples=stated.samples,
        classes=keys,
        sizes=sizes,
        splits=told,
    )


def _agree(told: dict[str, Any], keys: tuple[str, ...], pixels: npt.NDArray[np.int64]) -> bool:
    """pixels: of each label, i8 (256,)."""
    counts = pixels.tolist()
    return bool(told["pixels"] == dict(zip(keys, counts, strict=False)) and told["ignored"] == counts[IGNORE])


def _stated(folder: Path) -> _Index:
    path = folder / layout.INDEX
    try:
        return _Index.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {place}: {first['msg']}; import the set again.") from None
