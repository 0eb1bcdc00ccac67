"""`index.json`: what a dataset holds, file by file and split by split. Written last: with it a set is whole.

    name, about, publish  as the recipe says
    digest, recipe_hash, bank_digest, format_version, generator_version
    claim            whether this is the set that the recipe calls frozen (see `dataset.claim`), null where none is
    size             [height, width], px; um_per_px
    samples          rows in all shards; scenes: smears before looks multiply them
    looks, fields    as in the shards
    classes          id, key, name, colour of each
    splits           per split: scenes, samples, shards, dropped; pixels and objects per class key;
                     combinations {name: samples}; class_by_source {class key: {source: objects}};
                     cells {class key: {source: cells of the bank}}; area {class key: {source: their mean area, px}};
                     assembled {class key: of these cells, made of others}
    sources          what is known of each source, what was read of it, and what was refused (see `dataset.provenance`)
    files            name, size, sha256 of every file but this; of a shard also split, first_scene, scenes, samples
    seal             sha256 of all other keys (see `seal`), so that damage to this file shows too

Counts are over samples, but `dropped`, over scenes: cells that were planned and left out because too little of them
showed.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smearsynth import strict_json
from smearsynth.cells.bank import Bank
from smearsynth.dataset import layout
from smearsynth.dataset.claim import claim
from smearsynth.dataset.record import ShardRecord
from smearsynth.errors import UserError
from smearsynth.files import file_digest
from smearsynth.recipe import Recipe
from smearsynth.shards.digest import dataset_digest
from smearsynth.shards.format import Header
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import CLASSES, SPLITS

Index = dict[str, Any]

MOST_BYTES = 16_000_000
"""An index has some hundred bytes per shard; what is larger is another kind of file."""


def make_index(
    out: Path,
    *,
    recipe: Recipe,
    header: Header,
    bank: Bank,
    records: Sequence[ShardRecord],
    sources: Sequence[dict[str, Any]],
) -> Index:
    """The index of a set whose shards are all there; `files` holds the shards only. records: in dataset
    order.
    """
    plain = recipe.model_dump(mode="json", include={"about", "frozen"})
    index = {
        "name": recipe.name,
        "about": plain["about"],
        "publish": recipe.publish,
        "digest": dataset_digest(_digests(out, records)),
        "recipe_hash": header.recipe_hash,
        "bank_digest": header.bank_digest,
        "format_version": header.format_version,
        "generator_version": header.generator_version,
        "size": list(recipe.size),
        "um_per_px": header.um_per_px,
        "samples": sum(r.samples for r in records),
        "scenes": sum(r.stop - r.first for r in records),
        "looks": list(header.looks),
        "fields": list(header.fields),
        "classes": classes(),
        "splits": {split: _split([r for r in records if r.split == split], bank, split) for split in SPLITS},
        "sources": list(sources),
        "files": [_shard_file(r) for r in records],
    }
    return {**index, "claim": claim(plain["frozen"], index)}


def classes() -> list[dict[str, Any]]:
    """What an index tells of each class."""
    return [{"id": c.id, "key": c.key, "name": c.name, "colour": c.colour} for c in CLASSES]


def add_files(out: Path, index: Index, names: Iterable[str]) -> None:
    """Adds further files of the set to `files`."""
    for name in names:
        path = out / name
        index["files"].append({"name": name, "size": path.stat().st_size, "sha256": file_digest(path)})


def seal(index: Index) -> str:
    """sha256, hex, over all keys of an index but `seal`, as JSON with sorted keys."""
    rest = {key: value for key, value in index.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def write_index(out: Path, index: Index) -> None:
    """Writes the index, sealed."""
    layout.write_json(out, layout.INDEX, {**index, "seal": seal(index)})


def read_index(out: Path) -> Index:
    """The index of a whole dataset; UserError where there is none."""
    path = out / layout.INDEX
    try:
        index: Index = strict_json.read(path, MOST_BYTES)[0]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: no dataset, or one that --resume must finish.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): write it anew with --resume.") from error
    return index


def _digests(out: Path, records: Sequence[ShardRecord]) -> Iterable[str]:
    for record in records:
        yield from ShardReader(out / record.name).column("digest").tolist()


def _split(records: Sequence[ShardRecord], bank: Bank, split: str) -> dict[str, Any]:
    return count_split(records) | count_sources(records, bank, split)


def count_split(records: Sequence[ShardRecord]) -> dict[str, Any]:
    """What `splits` tells of the split with these shards, but for its sources."""
    combinations: Counter[str] = Counter()
    for record in records:
        combinations.update(record.combinations)
    return {
        "scenes": sum(r.stop - r.first for r in records),
        "samples": sum(r.samples for r in records),
        "shards": len(records),
        "dropped": sum(r.dropped for r in records),
        "pixels": {c.key: sum(r.pixels[c.id] for r in records) for c in CLASSES},
        "objects": {c.key: sum(r.objects[c.id] for r in records) for c in CLASSES[1:]},
        "combinations": dict(sorted(combinations.items())),
    }


def count_sources(records: Sequence[ShardRecord], bank: Bank, split: str) -> dict[str, Any]:
    """What `splits` tells of the sources of a split: its objects and the cells that they could be drawn from."""
    by_source = np.zeros((len(CLASSES), len(bank.sources)), np.int64)
    for record in records:
        by_source += np.array(record.class_by_source)
    cells, area = np.zeros_like(by_source), np.zeros_like(by_source)
    mine = bank.split == SPLITS.index(split)
    np.add.at(cells, (bank.class_id[mine], bank.source[mine]), 1)
    np.add.at(area, (bank.class_id[mine], bank.source[mine]), bank.area[mine])
    made = Counter(CLASSES[int(bank.class_id[i])].key for i in np.flatnonzero(mine) if bank.parts[i])
    return {
        "class_by_source": _by_key(by_source, bank.sources),
        "cells": _by_key(cells, bank.sources),
        "area": _by_key(area // np.maximum(cells, 1), bank.sources),
        "assembled": dict(sorted(made.items())),
    }


def _by_key(table: npt.NDArray[np.int64], sources: Sequence[str]) -> dict[str, dict[str, int]]:
    return {c.key: {source: int(n) for source, n in zip(sources, table[c.id], strict=True) if n} for c in CLASSES[1:]}


def _shard_file(record: ShardRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "size": record.size,
        "sha256": record.sha256,
        "split": record.split,
        "first_scene": record.first,
        "scenes": record.stop - record.first,
        "samples": record.samples,
    }
