"""What differs between two nested mappings, value by value."""

import json
from typing import Any, NamedTuple

_LONGEST = 60
"""Characters of a value that are shown."""


class Difference(NamedTuple):
    """path: such as `looks[0].name`. old, new: the values there, None on the side that has none."""

    path: str
    old: Any
    new: Any


def differences(old: Any, new: Any) -> list[Difference]:
    """Every plain value in nested mappings and lists that is not the same in both, by path."""
    before, after = _leaves(old), _leaves(new)
    paths = sorted(before.keys() | after.keys())
    return [Difference(p, before.get(p), after.get(p)) for p in paths if before.get(p) != after.get(p)]


def shown(value: Any) -> str:
    """A value in a sentence: JSON, cut where it is long; whatever it holds, it stays on its line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        inner = [(f"{path}.{key}", child) for key, child in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[{i}]", child) for i, child in enumerate(value)]
    else:
        return {path.removeprefix("."): value}
    return {p: leaf for name, child in inner for p, leaf in _leaves(child, name).items()}
