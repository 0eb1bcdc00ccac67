"""`path=value`: values laid over a document before it is validated, so that they are held to the same rules."""

import re
from typing import Any

from smearsynth.strict_yaml.document import Document, Kind, parse_value
from smearsynth.strict_yaml.faults import DocumentError, Fault, Key, dotted

_PART = re.compile(r"(?:^|\.)([^.\[\]]+)|\[([0-9]{1,9})\]")


def apply(document: Document, override: str) -> None:
    """Sets one value in the document, or notes in its faults why it cannot.

    The path names keys as `scene.overlap` and list items as `sources[0].root`; the value is read as YAML. A mapping
    that the document leaves to its defaults is opened on the way; a list is not, since its length would be a guess.
    """
    kind = document.kind
    where = f"{kind.option} {override}"
    path, equals, text = override.partition("=")
    key = _key(path.strip())
    if not equals or key is None:
        document.faults.append(Fault(where, (), f"must read path=value, as in `{kind.option} {kind.example}`"))
        return
    try:
        value, faults = parse_value(text, where, kind)
    except DocumentError as error:
        document.faults.extend(Fault(f.where, key, f.sentence) for f in error.faults)
        return
    document.faults.extend(Fault(f.where, (*key, *f.key), f.sentence) for f in faults)
    holder = _holder(document, key, where)
    if holder is not None:
        holder[key[-1]] = value
        _forget(document, key)
        document.places[key] = where


def _key(path: str) -> Key | None:
    """The key path that is written as `path`, or None where it is none."""
    parts = list(_PART.finditer(path))
    if not parts or "".join(m.group() for m in parts) != path:
        return None
    return tuple(m[1] if m[1] is not None else int(m[2]) for m in parts)


def _holder(document: Document, key: Key, where: str) -> Any:
    """The mapping or list that the last part of `key` is set in, or None after noting a fault."""
    holder: Any = document.data
    for depth, part in enumerate(key):
        fault = _misfit(holder, part, dotted(key[:depth]) or f"the {document.kind.noun}", document.kind)
        if fault:
            document.faults.append(Fault(where, key[:depth], fault))
            return None
        if depth == len(key) - 1:
            return holder
        if isinstance(part, str) and part not in holder:
            holder[part] = {}
            document.places[key[: depth + 1]] = where
        holder = holder[part]
    return None


def _misfit(holder: Any, part: str | int, name: str, kind: Kind) -> str:
    if isinstance(part, int):
        if not isinstance(holder, list):
            return f"{name} is no list in the {kind.noun}: set it as a whole, `{kind.option} {name}=[...]`"
        if part >= len(holder):
            return f"{name} has {len(holder)} items, counted from 0: [{part}] is not among them"
    elif not isinstance(holder, dict):
        return f'{name} is no mapping in the {kind.noun}, so it has no key "{part}": set it as a whole'
    return ""


def _forget(document: Document, key: Key) -> None:
    """Drops the places of what the value at `key` held before."""
    for known in [k for k in document.places if k[: len(key)] == key]:
        del document.places[known]
