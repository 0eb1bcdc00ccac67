"""What lies beside the shards of an imported set.

index.json    digest, format_version, um_per_px, samples; classes: id, key, name, colour of each
              splits    per split: samples, images, groups, shards; pixels per class key, and `ignored`
              imported  all that decides the set: palette, polarity of two-level masks, scale, patches, rule and seed of
                        the split; and what was said of it
              files     name, size, sha256 of every other file; of a shard also split, first_scene, scenes, samples and
                        the size of its images
splits.csv    a line per image: split, group, mask, its size, um/px, sha256 of both files; --split reads it
samples.csv   a line per sample: the image it was cut from, and where in it, px of the resampled image
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segtrain.data.samples import Classes
from segtrain.importing.plan import Source
from segtrain.importing.target import IMPORTED, INDEX
from segtrain.importing.write import WrittenShard
from smearsynth.shards.digest import dataset_digest
from smearsynth.shards.format import FORMAT_VERSION, Header
from smearsynth.taxonomy import IGNORE, SPLITS, display_name

SPLITS_TABLE, SAMPLES_TABLE = "splits.csv", "samples.csv"

Index = dict[str, Any]


def write_tables(out: Path, sources: Sequence[Source], shards: Sequence[WrittenShard]) -> None:
    """`splits.csv` and `samples.csv`."""
    head = ("image", "split", "group", "mask", "width", "height", "um_per_px", "image_sha256", "mask_sha256")
    _write_table(out / SPLITS_TABLE, head, (_of_source(s) for s in sorted(sources, key=lambda s: s.surveyed.pair.name)))
    samples = (
        (w.sample_id, w.source.surveyed.pair.name, w.window[1], w.window[0], w.source.sample[1], w.source.sample[0])
        for shard in shards
        for w in shard.samples
    )
    _write_table(out / SAMPLES_TABLE, ("sample_id", "image", "left", "top", "width", "height"), samples)


def write_index(
    out: Path,
    *,
    header: Header,
    classes: Classes,
    sources: Sequence[Source],
    shards: Sequence[WrittenShard],
    imported: Index,
) -> Index:
    """Writes `index.json`, after all others, and returns what it holds."""
    index = {
        "digest": dataset_digest(sample.digest for shard in shards for sample in shard.samples),
        "format_version": FORMAT_VERSION,
        "um_per_px": header.um_per_px,
        "samples": sum(shard.plan.samples for shard in shards),
        "classes": [
            {"id": number, "key": key, "name": display_name(key), "colour": colour}
            for number, key, colour in zip(classes.ids, classes.keys, classes.colours, strict=True)
        ],
        "splits": {split: _of_split(split, classes, sources, shards) for split in SPLITS},
        IMPORTED: imported,
        "files": [
            *({**_file(out / shard.plan.name), **_of_shard(shard)} for shard in shards),
            *(_file(out / table) for table in (SPLITS_TABLE, SAMPLES_TABLE)),
        ],
    }
    _write_text(out / INDEX, json.dumps(index, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    return index


def _of_source(source: Source) -> tuple[Any, ...]:
    s = source.surveyed
    size = (s.size[1], s.size[0], source.um_per_px)
    return (s.pair.name, source.split, source.group_name, s.pair.mask_name, *size, s.image_sha256, s.mask_sha256)


def _of_split(split: str, classes: Classes, sources: Sequence[Source], shards: Sequence[WrittenShard]) -> Index:
    mine = [source for source in sources if source.split == split]
    written = [shard for shard in shards if shard.plan.split == split]
    pixels = sum((shard.pixels for shard in written), np.zeros(256, np.int64))
    return {
        "samples": sum(shard.plan.samples for shard in written),
        "images": len(mine),
        "groups": len({source.group for source in mine}),
        "shards": len(written),
        "pixels": {key: int(pixels[number]) for number, key in zip(classes.ids, classes.keys, strict=True)},
        "ignored": int(pixels[IGNORE]),
    }


def _of_shard(shard: WrittenShard) -> Index:
    plan = shard.plan
    counts = {"first_scene": plan.first, "scenes": plan.samples, "samples": plan.samples}
    return {"split": plan.split, **counts, "height": plan.size[0], "width": plan.size[1]}


def _file(path: Path) -> Index:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "size": path.stat().st_size, "sha256": digest}


def _write_table(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    _write_text(path, text.getvalue())


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
