"""JSON that somebody else may have written: read whole, with one meaning, or refused.

Of a key that stands twice a plain reader drops a value in silence, NaN is no JSON that other tools read, and a text of
brackets alone can exhaust the stack.
"""

import json
from pathlib import Path
from typing import Any, NoReturn


def read(path: Path, most: int) -> tuple[Any, str]:
    """The value in a file of at most `most` bytes, and its text. Raises OSError and ValueError."""
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"more than {most:,} bytes")
    text = raw.decode("utf-8")
    return parse(text), text


def parse(text: str) -> Any:
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
