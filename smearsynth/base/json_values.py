"""JSON that somebody else may have written, read with one meaning or refused; and what differs between two such values.

Of a repeated key a plain reader drops a value in silence, NaN is no JSON that other tools read, and a text of brackets
alone can exhaust the stack.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_LONGEST = 60
"""Characters of a value that are shown."""


def read_json(path: Path, most: int) -> tuple[Any, str]:
    """The value in a file of at most `most` bytes, and its text. Raises OSError and ValueError."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"more than {most:,} bytes")
    text = raw.decode("utf-8")
    return parse_json(text), text


def parse_json(text: str) -> Any:
    """The value that a text stands for. Raises ValueError."""
    try:
        return json.loads(text, object_pairs_hook=_mapping, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {json.dumps(twice)} stands there twice")
    return mapping


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


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


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        inner = [(f"{path}.{key}", child) for key, child in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[{i}]", child) for i, child in enumerate(value)]
    else:
        return {path.removeprefix("."): value}
    return {p: leaf for name, child in inner for p, leaf in _leaves(child, name).items()}


def shown(value: Any) -> str:
    """A value in a sentence: JSON, on one line, cut where it is long."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
