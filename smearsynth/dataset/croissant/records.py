"""Record sets: tables that stand in the file itself, so that every Croissant reader can load them."""

from collections.abc import Mapping, Sequence
from typing import Any

from smearsynth.dataset.index import Index
from smearsynth.shards.format import BIG, SMALL
from smearsynth.taxonomy import CLASSES, SPLITS

_PURPOSES = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}
_PLAIN = {bool: "sc:Boolean", int: "sc:Integer", float: "sc:Float", str: "sc:Text"}
_SOURCE_KEYS = (
    "name", "kind", "title", "version", "licence", "redistribution", "cite", "files", "sha256", "grouping",
    "patients_known", "um_per_px",
)  # fmt: skip
_SOURCES = (
    "databases that the cells were cut from; files: how many were read of each; sha256: over the lines of sources.lock "
    "that name them; grouping: what no split divides; um_per_px: scale of the images, micrometres per pixel"
)
_SAMPLES = (
    "HDF5 datasets of a shard, each with one row per sample: type as in numpy, and shape of a row, -1 where it differs "
    "from set to set. Croissant has no way to extract them: read shards with an HDF5 library"
)
_SAMPLE = {
    "image": "RGB, 0-255",
    "label": "id of the class of each pixel, as in the record set `classes`",
    "instance": "0 where no cell is, else 1 + row in `objects`",
    "objects": "a row per cell, in ascending z, unused rows 0; columns",
    "sample_id": "such as train-00000042, further looks of a scene with @ and their name",
    "object_count": "rows of `objects` in use",
    "foreground": "cells of each class 1 to 9",
    "background": "red cells: 0 none, 1 healthy, 2 infected, 3 mixed",
    "scene": "number of the scene in its split; its looks share it",
    "look": "which of the set's looks",
    "digest": "sha256 of image, label and instance, hex",
}


def record_sets(index: Index) -> list[dict[str, Any]]:
    """Splits, classes, shards, sources, objects, and what a sample consists of."""
    splits = [
        {"name": split, "url": _PURPOSES[split], "samples": part["samples"], "scenes": part["scenes"]}
        for split, part in ((split, index["splits"][split]) for split in SPLITS)
    ]
    shards = [
        {"file": file["name"], "split": file["split"], "first_scene": file["first_scene"], "samples": file["samples"]}
        for file in index["files"]
        if "split" in file
    ]
    told = [{**source, "version": source.get("version") or "not stated"} for source in index["sources"]]
    sources = [{key: source[key] for key in _SOURCE_KEYS if all(key in s for s in told)} for source in told]
    return [
        _table("splits", "what each split is for and how many samples it has", splits, "name", "cr:Split"),
        _table("classes", "meaning of a label", index["classes"], "id", "sc:Enumeration"),
        _table("shard_files", "which samples a shard holds", shards, "file"),
        _table("sources", _SOURCES, sources, "name"),
        _table("objects_by_source", "objects in the samples, and different cells they are drawn from", _objects(index)),
        _table("sample_fields", _SAMPLES, _sample_fields(index), "name"),
    ]


def _objects(index: Index) -> list[dict[str, Any]]:
    return [
        {
            "split": split,
            "class": c.key,
            "source": source["name"],
            "objects": index["splits"][split]["class_by_source"][c.key].get(source["name"], 0),
            "cells": index["splits"][split]["cells"][c.key].get(source["name"], 0),
        }
        for split in SPLITS
        for c in CLASSES[1:]
        for source in index["sources"]
    ]


def _table(
    name: str, about: str, rows: Sequence[Mapping[str, Any]], key: str | None = None, kind: str | None = None
) -> dict[str, Any]:
    """A record set with its data. rows: at least one, all with the same keys."""
    told = {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": about,
        "dataType": kind,
        "key": {"@id": f"{name}/{key}"} if key else None,
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{column}", "name": column, "dataType": _type(column, value)}
            for column, value in sorted(rows[0].items())
        ],
        "data": [{f"{name}/{column}": value for column, value in row.items()} for row in rows],
    }
    return {key: value for key, value in told.items() if value is not None}


def _type(column: str, value: Any) -> str:
    return "sc:URL" if column == "url" else _PLAIN[type(value)]


def _sample_fields(index: Index) -> list[dict[str, Any]]:
    height, width = index["size"]
    rows = len(CLASSES) - 1
    shapes = {
        "image": f"{height},{width},3",
        "label": f"{height},{width}",
        "instance": f"{height},{width}",
        "objects": f"-1,{len(index['fields'])}",
        "foreground": f"{rows}",
    }
    more = {"objects": ", ".join(index["fields"]), "look": ", ".join(index["looks"])}
    return [
        {
            "name": name,
            "dtype": kind,
            "shape": shapes.get(name, ""),
            "meaning": _SAMPLE[name] + (f": {more[name]}" if name in more else ""),
        }
        for name, kind in {**BIG, "sample_id": "S", **SMALL}.items()
    ]
