"""All figures of a dataset together, held against one another, and as plain data.

What a set holds that `segtrain import` made: images and labels, but no cells that were placed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from tqdm import tqdm

from smearsynth.base.errors import UserError
from smearsynth.dataset import layout
from smearsynth.dataset.distributions import (
    STEPS,
    LookColours,
    Placed,
    Sampled,
    Source,
    Summary,
    read_colours,
    read_placed,
    sources_of,
)
from smearsynth.dataset.index import classes_of, read_index
from smearsynth.dataset.verify.stated_index import Count, Counts, File, Hash, Stated, stated_of
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, IGNORE, SPLITS


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A dataset as it was read: its index, its objects, and the colours of some of its smears."""

    folder: Path
    stated: Stated
    sources: tuple[Source, ...]
    placed: Placed
    sampled: Sampled


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """area: the taxonomy's mean, px. size: of the whole cells as placed, px. visible: share of each that shows; whole:
    share of the cells that show entirely. None where there is no cell. Over scenes."""

    area: int
    size: Summary | None
    visible: Summary | None
    whole: float | None


@dataclass(frozen=True, kw_only=True)
class Stats:
    """splits: as in the index (see `dataset.index`), counts over samples, and `unused`, cells of the bank that are in
    no smear, per class. classes: by key. objects, coverage: per smear, how many cells, and the share of its pixels
    that are of one. colours: by look. refused, files_left_out: per source, so far as the index knows.
    """

    name: str
    digest: str
    size: tuple[int, int]
    um_per_px: float
    looks: tuple[str, ...]
    samples: int
    scenes: int
    splits: dict[str, dict[str, Any]]
    classes: dict[str, ClassFigures]
    objects: Summary | None
    coverage: Summary | None
    colours: dict[str, LookColours]
    refused: dict[str, dict[str, dict[str, int]]]
    files_left_out: dict[str, dict[str, int]]


def measure(folder: Path, *, progress: bool) -> Measured:
    """Raises UserError: no dataset, a shard that can't be read, an index that its shards contradict."""
    stated = stated_of(folder)
    if not stated.scenes:
        raise UserError(f"{folder} holds no smear: build it with a count above 0.")
    sources = sources_of(folder, stated)
    placed = read_placed(folder, stated, progress=progress)
    for split in SPLITS:
        if not _agree(stated, placed, split):
            raise UserError(
                f"{folder / layout.INDEX} does not tell what the shards of {split} hold: `smearsynth verify {folder}` "
                "tells all faults."
            )
    sampled = read_colours(folder, stated)
    return Measured(folder=folder, stated=stated, sources=sources, placed=placed, sampled=sampled)


def _agree(stated: Stated, placed: Placed, split: str) -> bool:
    """Whether the index tells of every class, and what the tables of objects hold."""
    told = stated.splits[split]  # type: ignore[index]
    keys = {c.key for c in CLASSES[1:]}
    if told.pixels.keys() != keys | {CLASSES[0].key}:
        return False
    if not keys == told.objects.keys() == told.cells.keys() == told.class_by_source.keys():
        return False
    objects, used = (len(stated.looks) * placed.counts[split]).tolist(), placed.used_cells(split).tolist()
    return all(
        told.objects[c.key] == objects[c.id] and sum(told.cells[c.key].values()) >= used[c.id] for c in CLASSES[1:]
    )


def figures(measured: Measured) -> Stats:
    """What was read, as plain data."""
    stated, placed = measured.stated, measured.placed
    pixels = stated.size[0] * stated.size[1]
    return Stats(
        name=stated.name,
        digest=stated.digest,
        size=stated.size,
        um_per_px=stated.um_per_px,
        looks=stated.looks,
        samples=stated.samples,
        scenes=stated.scenes,
        splits={split: _split(measured, split) for split in SPLITS},
        classes={c.key: _class(placed, c.id) for c in CLASSES[1:]},
        objects=placed.objects.summary(),
        coverage=placed.covered.summary(unit=pixels),
        colours=measured.sampled.summary(),
        refused={source.name: source.refused for source in measured.sources if source.refused},
        files_left_out={source.name: source.files_left_out for source in measured.sources if source.files_left_out},
    )


def _split(measured: Measured, split: str) -> dict[str, Any]:
    told = measured.stated.splits[split]  # type: ignore[index]
    used = measured.placed.used_cells(split).tolist()
    unused = {c.key: sum(told.cells[c.key].values()) - used[c.id] for c in CLASSES[1:]}
    return {**told.model_dump(), "unused": unused}


def _class(placed: Placed, c: int) -> ClassFigures:
    visible = placed.visible[c]
    whole = float(visible.counts[visible.values == STEPS].sum() / max(visible.counts.sum(), 1))
    return ClassFigures(
        area=CLASSES[c].area,
        size=placed.sizes[c].summary(),
        visible=visible.summary(unit=STEPS),
        whole=whole if visible.counts.size else None,
    )


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
        if not _imported_figures_agree(told[split], keys, pixels):
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


def _imported_figures_agree(told: dict[str, Any], keys: tuple[str, ...], pixels: npt.NDArray[np.int64]) -> bool:
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
