"""What of a recipe decides samples: of the recipe as plain data, so of one that another version has resolved too."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_DECIDES_NOTHING = {"name", "count", "shards", "publish", "about", "lock", "frozen"}
_DECIDES_NOTHING_OF_A_SOURCE = {"root", "title", "version", "licence", "redistribution", "cite"}


def sample_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What decides samples: not names, counts, paths, shards, licences and permissions."""
    sources = [_without(source, _DECIDES_NOTHING_OF_A_SOURCE) for source in recipe["sources"]]
    return {**_without(recipe, _DECIDES_NOTHING), "sources": sources}


def settings_hash(settings: Mapping[str, Any]) -> str:
    """sha256, hex, over `sample_settings`.

    Files of a source are no part of it: the digest of the bank stands for their content.
    """
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _without(mapping: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}
