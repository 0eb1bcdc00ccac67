"""The files of an imported set. Its folder is filled beside its place and put there when it is whole, or not at all.

Every pair is read once more, resampled, cut and packed by threads, in order. Beside the shards there are:

index.json    digest, format_version, um_per_px, samples; classes: id, key, name, colour of each
              splits    per split: samples, images, groups, shards; pixels per class key, and `ignored`; where cells
                        are told apart, `cells`: those of the images, before patches were cut
              imported  all that decides the set: palette, polarity of two-level masks, scale, patches, rule and seed of
                        the split; and what was said of it
              files     name, size, sha256 of every other file; of a shard also split, first_scene, scenes, samples and
                        the size of its images
splits.csv    a line per image: split, group, mask, its size, um/px, sha256 of both files; --split reads it
samples.csv   a line per sample: the image it was cut from, and where in it, px of the resampled image
"""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects

from segtrain.data.samples import Classes
from segtrain.importing.import_plan import Map, PlannedPair, ShardPlan, Window, plan_shards, resample
from segtrain.importing.pair_check import Reader, Size, read_image, read_label
from smearsynth.base.errors import UserError, WorkError
from smearsynth.base.files import file_digest, published, write_text
from smearsynth.base.images import Pixels
from smearsynth.base.progress import ProgressBar
from smearsynth.base.workers import in_threads
from smearsynth.shards.format import (
    FORMAT_VERSION,
    IMPORTED_FIELDS,
    Header,
    ImportedSample,
    dataset_digest,
    sample_digest,
    sample_id,
)
from smearsynth.shards.writer import Packed, ShardWriter, pack_imported
from smearsynth.taxonomy import IGNORE, SPLITS, display_name

Index = dict[str, Any]
Objects = npt.NDArray[np.int32]
INDEX, SPLITS_TABLE, SAMPLES_TABLE = "index.json", "splits.csv", "samples.csv"
IMPORTED = "imported"
"""Key of the index that only imported sets have."""
_CODEC = "gzip"


def check_target(out: Path, *, overwrite: bool) -> None:
    """UserError where `out` may not become the dataset; touches nothing."""
    nearest = next(path for path in (out.absolute(), *out.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise UserError(f"{nearest} is a file: name another folder", "out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{nearest} may not be written to: change its permissions, or name another folder", "out")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not overwrite:
        raise UserError(f"{out} is not empty: overwrite it, or name another folder", "overwrite", "out")
    if strange := sorted(path.name for path in out.iterdir() if path.name not in _own_files(out)):
        raise UserError(
            f"{out} holds {strange[0]}, which no import wrote, so it is left alone: name another folder", "out"
        )


def _own_files(out: Path) -> set[str]:
    """The names of what an import wrote."""
    try:
        index = json.loads((out / INDEX).read_text(encoding="utf-8"))
        return {INDEX, *(file["name"] for file in index["files"])} if IMPORTED in index else set()
    except (OSError, ValueError, LookupError, TypeError):
        return set()


@contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder beside `out` to be filled, which takes its place at the end; where the work fails nothing of it stays.
    UserError where another import to the same place was faster."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}.", suffix=".part", dir=out.parent) as temporary:
        filled = Path(temporary) / "new"
        filled.mkdir()
        yield filled
        check_target(out, overwrite=overwrite)
        if out.is_dir():
            out.rename(Path(temporary) / "old")
        filled.rename(out)


@dataclass(frozen=True, kw_only=True)
class _ReadySample:
    """A sample that is ready to be written. row: of `samples.csv`. pixels: int64 (256,), how many have each label."""

    row: tuple[Any, ...]
    digest: str
    packed: Packed
    pixels: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """A shard that is on the disk. rows: of `samples.csv`. digests: of its samples. pixels: int64 (256,), how many have
    each label."""

    plan: ShardPlan
    rows: tuple[tuple[Any, ...], ...]
    digests: tuple[str, ...]
    pixels: npt.NDArray[np.int64]


def write_shards(
    out: Path, pairs: Sequence[PlannedPair], *, reader: Reader, header: Header, progress: bool
) -> Iterator[WrittenShard]:
    """The shards, one after another. pairs: in the order of their samples. header: of all shards, but for its split.
    Raises WorkError where a file is not what it was."""
    most = _most_cells(pairs) if header.fields else {}
    made = in_threads(partial(_make, reader=reader, most=most), _numbered(pairs))
    samples = (sample for together in made for sample in together)
    total = sum(len(pair.windows) for pair in pairs)
    with ProgressBar(what="write", unit="samples", total=total, shown=progress) as bar:
        for plan in plan_shards(pairs):
            mine = replace(header, split=plan.split)
            yield _write(out, plan, islice(samples, plan.samples), mine, most.get((plan.split, plan.size), 0), bar)


def _most_cells(pairs: Sequence[PlannedPair]) -> dict[tuple[str, Size], int]:
    """The most cells of a sample of each split and size; a patch has no more than its image."""
    most: dict[tuple[str, Size], int] = {}
    for pair in pairs:
        key = pair.split, pair.sample
        most[key] = max(1, pair.checked.cells, most.get(key, 0))
    return most


def _numbered(pairs: Sequence[PlannedPair]) -> Iterator[tuple[PlannedPair, int]]:
    """Each pair with the number of its first sample in its split."""
    next_of: Counter[str] = Counter()
    for pair in pairs:
        yield pair, next_of[pair.split]
        next_of[pair.split] += len(pair.windows)


def _write(
    out: Path, plan: ShardPlan, samples: Iterator[_ReadySample], header: Header, most: int, bar: ProgressBar
) -> WrittenShard:
    rows, digests, pixels = [], [], np.zeros(256, np.int64)
    with (
        published(out / plan.name) as part,
        ShardWriter(part, header=header, rows=plan.samples, size=plan.size, max_objects=most, codec=_CODEC) as writer,
    ):
        for sample in samples:
            writer.append(sample.packed)
            rows.append(sample.row)
            digests.append(sample.digest)
            pixels += sample.pixels
            bar.update()
    return WrittenShard(plan=plan, rows=tuple(rows), digests=tuple(digests), pixels=pixels)


def _make(task: tuple[PlannedPair, int], *, reader: Reader, most: Mapping[tuple[str, Size], int]) -> list[_ReadySample]:
    """The samples of a pair, the first of them with that number."""
    planned, first = task
    checked, pair, (height, width) = planned.checked, planned.checked.pair, planned.sample
    image, image_sha256 = read_image(pair)
    reading, mask_sha256 = read_label(pair, reader)
    for path, now, before in (
        (pair.image, image_sha256, checked.image_sha256),
        (pair.mask, mask_sha256, checked.mask_sha256),
    ):
        if now != before:
            raise WorkError(f"{path} was changed while it was imported: begin again.")
    maps: list[Map] = [reading.label] if reading.instance is None else [reading.label, reading.instance]
    image, (label, *instances) = resample(image, maps, planned.resampled)
    full = np.bincount(instances[0].ravel()) if most else np.zeros(0, np.int64)
    rows = most.get((planned.split, planned.sample), 0)
    ready = []
    for i, (y, x) in enumerate(planned.windows):
        cut = slice(y, y + height), slice(x, x + width)
        cells = told_apart(instances[0][cut], label[cut], full) if most else None
        ready.append(_packed(planned, first + i, (y, x), image[cut], label[cut], cells, rows))
    return ready


def told_apart(instance: Map, label: Map, full: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint16], Objects]:
    """uint16 (H, W): the cells of a patch, numbered anew, and int32 (n, 7), the row of each, as `IMPORTED_FIELDS` has
    it. instance, label: (H, W) of the patch. full: pixels of each cell in the whole image."""
    numbers, first, dense = np.unique(instance, return_index=True, return_inverse=True)
    dense = dense.reshape(instance.shape) + (numbers[0] != 0)
    there = numbers != 0
    objects = np.zeros((np.count_nonzero(there), len(IMPORTED_FIELDS)), np.int32)
    objects[:, 0], objects[:, 6] = label.ravel()[first[there]], full[numbers[there]]
    objects[:, 5] = np.bincount(dense.ravel(), minlength=len(objects) + 1)[1:]
    for row, (rows, columns) in zip(objects, find_objects(dense), strict=True):
        row[1:5] = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
    return dense.astype(np.uint16), objects


def _packed(
    planned: PlannedPair,
    number: int,
    window: Window,
    image: Pixels,
    label: Map,
    cells: tuple[npt.NDArray[np.uint16], Objects] | None,
    rows: int,
) -> _ReadySample:
    instance, objects = cells or (None, None)
    name, digest = sample_id(planned.split, number, 0, ()), sample_digest(image, label, instance)
    sample = ImportedSample(
        image=image,
        label=label,
        scene=number,
        group=planned.group,
        sample_id=name,
        digest=digest,
        instance=instance,
        objects=objects,
    )
    return _ReadySample(
        row=(name, planned.checked.pair.name, window[1], window[0], planned.sample[1], planned.sample[0]),
        digest=digest,
        packed=pack_imported(sample, max_objects=rows, codec=_CODEC),
        pixels=np.bincount(label.ravel(), minlength=256),
    )


def write_tables(out: Path, pairs: Sequence[PlannedPair], shards: Sequence[WrittenShard]) -> None:
    """`splits.csv` and `samples.csv`."""
    head = ("image", "split", "group", "mask", "width", "height", "um_per_px", "image_sha256", "mask_sha256")
    rows: list[tuple[Any, ...]] = []
    for planned in sorted(pairs, key=lambda p: p.checked.pair.name):
        checked, pair, (height, width) = planned.checked, planned.checked.pair, planned.checked.size
        stated = (pair.name, planned.split, planned.group_name, pair.mask_name, width, height, planned.um_per_px)
        rows.append((*stated, checked.image_sha256, checked.mask_sha256))
    _write_table(out / SPLITS_TABLE, head, rows)
    samples = (row for shard in shards for row in shard.rows)
    _write_table(out / SAMPLES_TABLE, ("sample_id", "image", "left", "top", "width", "height"), samples)


def write_index(
    out: Path,
    *,
    header: Header,
    classes: Classes,
    pairs: Sequence[PlannedPair],
    shards: Sequence[WrittenShard],
    imported: Index,
) -> Index:
    """Writes `index.json`, after all others, and returns what it holds."""
    index = {
        "digest": dataset_digest(digest for shard in shards for digest in shard.digests),
        "format_version": FORMAT_VERSION,
        "um_per_px": header.um_per_px,
        "samples": sum(shard.plan.samples for shard in shards),
        "classes": [
            {"id": number, "key": key, "name": display_name(key), "colour": colour}
            for number, key, colour in zip(classes.ids, classes.keys, classes.colours, strict=True)
        ],
        "splits": {split: _of_split(split, classes, pairs, shards, has_cells=bool(header.fields)) for split in SPLITS},
        IMPORTED: imported,
        "files": [
            *(
                {
                    **_file(out / plan.name),
                    "split": plan.split,
                    "first_scene": plan.first,
                    "scenes": plan.samples,
                    "samples": plan.samples,
                    "height": plan.size[0],
                    "width": plan.size[1],
                }
                for plan in (shard.plan for shard in shards)
            ),
            *(_file(out / table) for table in (SPLITS_TABLE, SAMPLES_TABLE)),
        ],
    }
    write_text(out / INDEX, json.dumps(index, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return index


def _of_split(
    split: str, classes: Classes, pairs: Sequence[PlannedPair], shards: Sequence[WrittenShard], *, has_cells: bool
) -> Index:
    mine = [pair for pair in pairs if pair.split == split]
    written = [shard for shard in shards if shard.plan.split == split]
    pixels = sum((shard.pixels for shard in written), np.zeros(256, np.int64))
    return {
        "samples": sum(shard.plan.samples for shard in written),
        "images": len(mine),
        "groups": len({pair.group for pair in mine}),
        "shards": len(written),
        **({"cells": sum(pair.checked.cells for pair in mine)} if has_cells else {}),
        "pixels": {key: int(pixels[number]) for number, key in zip(classes.ids, classes.keys, strict=True)},
        "ignored": int(pixels[IGNORE]),
    }


def _file(path: Path) -> Index:
    return {"name": path.name, "size": path.stat().st_size, "sha256": file_digest(path)}


def _write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    write_text(path, text.getvalue())
