"""`croissant.json` of a dataset: what its card says, for programs. Croissant 1.1, a pure function of the index.

Croissant 1.1 knows files of any type, with checksums, but of what is in them it can only name columns of tables, paths
in JSON and files of archives (specification, "Extract"). So a shard is described as a file, and what it holds in words;
no record set pretends to be read from one. Every record set is a table in the file itself, which any reader can load.
The JSON-LD context is the one that Croissant 1.1 recommends, with what its checker still expects of older versions.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from smearsynth.dataset import facts, layout
from smearsynth.dataset.index import Index
from smearsynth.shards.format import BIG, SMALL, WITH_PARASITES
from smearsynth.taxonomy import CLASSES, SPLITS

_CROISSANT = (
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field",
    "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
    "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value",
)  # fmt: skip

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _CROISSANT},
}


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
    "parasite": "0 none, 1 parasite, 255 unknown",
    "objects": "a row per cell, in ascending z, unused rows 0; columns",
    "sample_id": "such as train-00000042, further looks of a scene with @ and their name",
    "object_count": "rows of `objects` in use",
    "foreground": "cells of each class 1 to 9",
    "background": "red cells: 0 none, 1 healthy, 2 infected, 3 mixed",
    "scene": "number of the scene in its split; its looks share it",
    "look": "which of the set's looks",
    "digest": "sha256 of image, label, instance and parasite mask, hex",
}
_HDF5 = "application/x-hdf5"
_TYPES = {
    ".h5": _HDF5,
    ".json": "application/json",
    ".lock": "text/plain",
    ".md": "text/markdown",
    ".png": "image/png",
    ".yaml": "application/yaml",
}
_ABOUT = {
    layout.RECIPE: "the recipe with every default written out",
    layout.BANK: "the cells that the smears are composited from",
    layout.LOCK: "sha256 and path of every file of the sources that was read",
    layout.CARD: "the card: what this file says, for people",
    layout.PREVIEW: "smears, each beside its label",
}
_CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
_SPDX = re.compile(r"CC0-1\.0|CC-BY(-NC)?(-SA|-ND)?-[1-4]\.0")
"""Licences of data whose name, as a recipe may write it, is their identifier at spdx.org."""


def make_croissant(index: Index) -> dict[str, Any]:
    """JSON-LD as plain data. `files` of the index holds every other file of the set but the index itself."""
    about = index["about"]
    croissant = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(_CONFORMS_TO),
        "name": index["name"],
        "description": facts.summary(index),
        "conditionsOfAccess": facts.warning(index),
        "license": _licences(index),
        "citeAs": facts.citation(index),
        "citation": facts.works(index),
        "creator": [{"@type": "sc:Organization", "name": name} for name in about["creators"]],
        "url": about["url"],
        "datePublished": about["published"],
        "version": facts.claimed_version(index),
        "keywords": ["blood smear", "semantic segmentation", "instance segmentation", "microscopy", "synthetic data"],
        "isLiveDataset": False,
        "distribution": _distribution(index),
        "recordSet": _record_sets(index),
        **_responsible(index),
        **_provenance(index),
    }
    return {key: value for key, value in croissant.items() if value not in (None, "", [])}


def _licences(index: Index) -> list[dict[str, Any]]:
    """The licence of each source, for the set has those of all."""
    unknown = facts.origin(index)
    known = [
        {
            "@type": "sc:CreativeWork",
            "name": source["licence"],
            "description": f"licence of the cells from {source['name']}, {source['title']}; redistribution "
            + source["redistribution"].replace("_", " "),
            **({"url": f"https://spdx.org/licenses/{source['licence']}"} if _SPDX.fullmatch(source["licence"]) else {}),
        }
        for source in facts.known_sources(index)
    ]
    return [*known, *([{"@type": "sc:CreativeWork", "name": f"that of its sources. {unknown}"}] if unknown else [])]


def _responsible(index: Index) -> dict[str, Any]:
    """The terms of the RAI vocabulary that the card has a sentence for."""
    known = facts.known_sources(index)
    refused = [f"{source}, {key}: {count} {reason}" for source, key, reason, count in facts.refusals(index)]
    return {
        "rai:dataCollection": " ".join([*(f"{s['name']}: {s['title']}." for s in known), facts.origin(index)]).strip(),
        "rai:dataCollectionMissingData": f"Refused cells: {'; '.join(refused)}." if refused else None,
        "rai:dataAnnotationProtocol": [facts.labels(index)],
        "rai:dataPreprocessingProtocol": [facts.grouping(source) for source in known],
        "rai:dataLimitations": facts.limits(index),
        "rai:dataReleaseMaintenancePlan": " ".join(facts.rebuilding(index)),
    }


def _provenance(index: Index) -> dict[str, Any]:
    """In the terms of PROV-O, as the specification recommends."""
    made = {
        "digest": index["digest"],
        "recipe hash": index["recipe_hash"],
        "bank digest": index["bank_digest"],
        "generator version": index["generator_version"],
        "format version": index["format_version"],
        "scenes": ", ".join(f"{split} {index['splits'][split]['scenes']}" for split in SPLITS),
    }
    return {
        "prov:wasDerivedFrom": [_entity(source) for source in index["sources"]],
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": "smearsynth build: " + "; ".join(f"{key} {value}" for key, value in made.items()),
        },
    }


def _entity(source: facts.SourceFacts) -> dict[str, Any]:
    entity = {
        "prov:label": source.get("title", source["name"]),
        "version": source.get("version"),
        "license": source.get("licence"),
        "citation": source.get("cite"),
    }
    return {"@type": "prov:Entity", **{key: value for key, value in entity.items() if value}}


def _distribution(index: Index) -> list[dict[str, Any]]:
    """What is handed on: without the bank where the set is not to be published. This file and the index, which holds
    its checksum, cannot be here.
    """
    left_out = {layout.CROISSANT} if index["publish"] else {layout.CROISSANT, layout.BANK}
    files = [_file(file) for file in index["files"] if file["name"] not in left_out]
    shards = {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "description": "the smears, in HDF5; what they hold: record set `sample_fields`",
        "encodingFormat": _HDF5,
        "includes": [f"{split}-*.h5" for split in SPLITS],
    }
    return [*files, shards]


def _file(file: dict[str, Any]) -> dict[str, Any]:
    name = file["name"]
    split = f"{file['samples']} samples of {file['split']}" if "split" in file else ""
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": split or _ABOUT[name],
        "contentUrl": name,
        "contentSize": f"{file['size']} B",
        "encodingFormat": _TYPES[PurePosixPath(name).suffix],
        "sha256": file["sha256"],
    }


def _record_sets(index: Index) -> list[dict[str, Any]]:
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
    known = [{**source, "version": source.get("version") or "not stated"} for source in index["sources"]]
    sources = [{key: source[key] for key in _SOURCE_KEYS if all(key in s for s in known)} for source in known]
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
    record_set = {
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
    return {key: value for key, value in record_set.items() if value is not None}


def _type(column: str, value: Any) -> str:
    return "sc:URL" if column == "url" else _PLAIN[type(value)]


def _sample_fields(index: Index) -> list[dict[str, Any]]:
    height, width = index["size"]
    rows = len(CLASSES) - 1
    shapes = {
        "image": f"{height},{width},3",
        "label": f"{height},{width}",
        "instance": f"{height},{width}",
        "parasite": f"{height},{width}",
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
        if name != "parasite" or index["format_version"] == WITH_PARASITES
    ]
