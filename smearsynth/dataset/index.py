"""`index.json`: what a dataset holds, file by file and split by split. Written last: with it a set is whole.

    name, about, publish  as the recipe says
    digest, recipe_hash, bank_digest, format_version, generator_version
    claim            whether this is the set that the recipe calls frozen (see `claim`), null where none is
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
showed. They are taken while a shard is built (`SceneTally`), for a shard need not be read again then.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from smearsynth.bank.bank import Bank
from smearsynth.base import json_values
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest
from smearsynth.base.json_values import differences, shown
from smearsynth.dataset import layout
from smearsynth.recipe.model import Recipe
from smearsynth.recipe.scene_options import Combination
from smearsynth.scene.scene import BACKGROUNDS, CELL, CLASS, VISIBLE, Scene
from smearsynth.shards.format import Header, dataset_digest
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import BY_KEY, CLASSES, FOREGROUND_CLASSES, SPLITS, CellClass

Index = dict[str, Any]
MOST_BYTES = 16_000_000
"""An index has some hundred bytes per shard; what is larger is another kind of file."""
_SAME = ("format_version", "generator_version", "recipe_hash", "bank_digest")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, kw_only=True)
class ShardRecord:
    """One shard: scenes `first` to `stop` - 1 of its split. Counts are over samples, `dropped` over scenes.

    size: bytes of the file. pixels, objects: per class id 0 to 9. dropped: cells left out because too little
    of them showed. combinations: name -> samples. class_by_source: objects, class id x source of the bank.
    """

    name: str
    split: str
    first: int
    stop: int
    samples: int
    size: int
    sha256: str
    pixels: tuple[int, ...]
    objects: tuple[int, ...]
    dropped: int
    combinations: dict[str, int]
    class_by_source: tuple[tuple[int, ...], ...]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `dataclasses.asdict` and JSON."""
        nested = tuple(tuple(row) for row in value["class_by_source"])
        flat = {name: tuple(value[name]) for name in ("pixels", "objects")}
        return cls(**{**value, **flat, "class_by_source": nested})


class SceneTally:
    """Counts scenes as they pass. pixels: int64 (10,), by class id. class_by_source: int64 (10, sources), objects."""

    def __init__(self, source_of: npt.NDArray[np.uint8], sources: int) -> None:
        """source_of: uint8 (cells of the bank,), the source of each. sources: how many there are."""
        self._source_of = source_of
        self.pixels = np.zeros(len(CLASSES), np.int64)
        self.class_by_source = np.zeros((len(CLASSES), sources), np.int64)
        self.combinations: Counter[str] = Counter()
        self.dropped = 0

    def add(self, scene: Scene, samples: int) -> None:
        """A scene that gives `samples` samples, one per look."""
        classes = scene.objects[:, CLASS]
        visible = np.bincount(classes, scene.objects[:, VISIBLE], len(CLASSES)).astype(np.int64)
        visible[0] = scene.label.size - visible[1:].sum()
        self.pixels += samples * visible
        kinds = classes * self.class_by_source.shape[1] + self._source_of[scene.objects[:, CELL]]
        counts = np.bincount(kinds, minlength=self.class_by_source.size)
        self.class_by_source += samples * counts.reshape(self.class_by_source.shape)
        self.combinations[combination(classes, scene.background)] += samples
        self.dropped += scene.dropped


def combination(classes: npt.NDArray[np.int32], background: int) -> str:
    """Name of the combination that a smear with objects of these classes shows."""
    foreground = tuple(sorted(c for c in classes.tolist() if c in FOREGROUND_CLASSES))
    return Combination(foreground, BACKGROUNDS[background]).name


def make_index(
    out: Path,
    *,
    recipe: Recipe,
    header: Header,
    bank: Bank,
    records: Sequence[ShardRecord],
    sources: Sequence[dict[str, Any]],
) -> Index:
    """The index of a set whose shards are all there; `files` holds the shards only. records: in dataset order."""
    plain = recipe.model_dump(mode="json", include={"about", "frozen"})
    by_split = {split: [r for r in records if r.split == split] for split in SPLITS}
    index = {
        "name": recipe.name,
        "about": plain["about"],
        "publish": recipe.publish,
        "digest": dataset_digest(d for r in records for d in ShardReader(out / r.name).column("digest").tolist()),
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
        "splits": {
            split: count_split(of_split) | count_sources(of_split, bank, split) for split, of_split in by_split.items()
        },
        "sources": list(sources),
        "files": [_shard_file(r) for r in records],
    }
    return {**index, "claim": claim(plain["frozen"], index)}


def classes() -> list[dict[str, Any]]:
    """What an index says of each class."""
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
        index: Index = json_values.read_json(path, MOST_BYTES)[0]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: no dataset, or one that a resumed build must finish.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): write it anew by resuming the build.") from error
    return index


def count_split(records: Sequence[ShardRecord]) -> dict[str, Any]:
    """What `splits` says of the split with these shards, but for its sources."""
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
    """What `splits` says of the sources of a split: its objects and the cells that they could be drawn from."""
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


def claim(frozen: Mapping[str, Any] | None, index: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an index says of the recipe's `frozen`, given as plain data: None where there is none.

    Equal digests say that two sets hold the same pixels, and only sets of one generator, recipe, bank and count can
    have them. So a set that differs in one of these does not claim the digest, and one that differs in none must have
    it.

    digest: of the frozen set, or of the beginning of it that has as many scenes. beginning: true, there where it is
    one. refused: a sentence for everything that makes this another set, [] where it is that one. wrong: whether it
    should be that one and is not.
    """
    if frozen is None:
        return None
    count = {split: part["scenes"] for split, part in index["splits"].items()}
    built = {**{key: index[key] for key in _SAME}, "count": count}
    beginning = next((part for part in frozen.get("beginnings", ()) if part["count"] == count), None)
    due = {**frozen, **(beginning or {})}
    found = differences({key: due[key] for key in built}, built)
    wrong = not found and due["digest"] != index["digest"]
    if wrong:
        found = differences({"digest": due["digest"]}, {"digest": index["digest"]})
    refused = [f"{d.path} is {shown(d.new)} here and {shown(d.old)} there" for d in found]
    known = {"digest": due["digest"], "refused": refused, "wrong": wrong}
    return {**known, "beginning": True} if beginning else known


def claim_of(index: Mapping[str, Any]) -> str:
    """What an index says of it in a sentence, "" where its recipe calls no set frozen."""
    claimed = index["claim"]
    if claimed is None:
        return ""
    frozen = f"{'the beginning of the' if 'beginning' in claimed else 'the'} frozen set of {index['name']}"
    if not claimed["refused"]:
        return f"This is {frozen}: its digest is the one in the recipe."
    because = "; ".join(claimed["refused"])
    if claimed["wrong"]:
        return f"This should be {frozen}, made the same way from the same cells, and is not: {because}."
    return f"This is not {frozen}, and does not claim its digest: {because}."


def classes_of(path: Path, header: Header) -> tuple[CellClass, ...]:
    """The classes of the shard `path` with this header, by id from 0; one that is not in the taxonomy is named by its
    key and has no mean area (0). Raises UserError where they are not numbered so, or a colour is none.
    """
    ids, keys, colours = header.class_ids, header.class_keys, header.class_colours
    if ids != tuple(range(len(ids))) or not len(ids) == len(keys) == len(colours):
        raise UserError(f"{path} has class ids {ids}; number them from 0, each with a key and a colour.")
    if not all(_COLOUR.fullmatch(str(colour)) for colour in colours):
        raise UserError(f'{path} has class_colours {colours}; write each as "#rrggbb".')
    unknown = CellClass(0, "", "", "", 0)
    return tuple(
        CellClass(number, key, BY_KEY.get(key, unknown).name or key, colour, BY_KEY.get(key, unknown).area)
        for number, key, colour in zip(ids, keys, colours, strict=True)
    )
