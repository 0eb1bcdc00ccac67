"""The set as a whole: who, what, under which licence, made how and from what."""

import re
from typing import Any

from smearsynth.dataset import facts
from smearsynth.dataset.croissant.context import CONTEXT
from smearsynth.dataset.croissant.records import record_sets
from smearsynth.dataset.croissant.resources import distribution
from smearsynth.dataset.index import Index
from smearsynth.taxonomy import SPLITS

CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
_SPDX = re.compile(r"CC0-1\.0|CC-BY(-NC)?(-SA|-ND)?-[1-4]\.0")
"""Licences of data whose name, as a recipe may write it, is their identifier at spdx.org."""


def make_croissant(index: Index) -> dict[str, Any]:
    """JSON-LD as plain data. `files` of the index holds every other file of the set but the index itself."""
    about = index["about"]
    told = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS_TO),
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
        "distribution": distribution(index),
        "recordSet": record_sets(index),
        **_responsible(index),
        **_provenance(index),
    }
    return {key: value for key, value in told.items() if value not in (None, "", [])}


def _licences(index: Index) -> list[dict[str, Any]]:
    """The licence of each source, for the set has those of all."""
    unknown = facts.origin(index)
    told = [
        {
            "@type": "sc:CreativeWork",
            "name": source["licence"],
            "description": f"licence of the cells from {source['name']}, {source['title']}; redistribution "
            + source["redistribution"].replace("_", " "),
            **({"url": f"https://spdx.org/licenses/{source['licence']}"} if _SPDX.fullmatch(source["licence"]) else {}),
        }
        for source in facts.known_sources(index)
    ]
    return [*told, *([{"@type": "sc:CreativeWork", "name": f"that of its sources. {unknown}"}] if unknown else [])]


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


def _entity(source: facts.Source) -> dict[str, Any]:
    told = {
        "prov:label": source.get("title", source["name"]),
        "version": source.get("version"),
        "license": source.get("licence"),
        "citation": source.get("cite"),
    }
    return {"@type": "prov:Entity", **{key: value for key, value in told.items() if value}}
