"""What the parts of a training's configuration have in common.

What a model's JSON Schema knows of its keys, for naming them in error messages.

Pydantic's errors to faults: our words, our key paths, and what mends each.

`path=value`: values laid over a document before it is validated, so that they are held to the same rules.

A document to the model that gives its keys their meaning, or to all of its faults at once.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from smearsynth.base.documents import (
    Document,
    DocumentError,
    DocumentKind,
    Fault,
    Key,
    dotted,
    nearest_place,
    parse_value,
)


class Spec(BaseModel):
    """Base of configuration models: an unknown key is an error, values never change, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def keys_at(model: type[BaseModel], key: Key) -> list[str]:
    """Names that the mapping at `key` may hold; [] where it is no mapping of fixed names."""
    return sorted({name for node in _nodes(model, key) for name in node.get("properties", {})})


def meaning(model: type[BaseModel], key: Key) -> str:
    """Description of the value at `key`, "" where it has none."""
    return next((node["description"] for node in _nodes(model, key) if "description" in node), "")


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _nodes(model: type[BaseModel], key: Key) -> list[dict[str, Any]]:
    """The parts of the schema that may stand for the value at `key`."""
    whole = _schema(model)
    nodes = _alternatives(whole, whole)
    for part in key:
        inner = [_child(node, part) for node in nodes]
        nodes = [found for node in inner if node for found in _alternatives(whole, node)]
    return nodes


def _child(node: dict[str, Any], part: str | int) -> dict[str, Any] | None:
    if isinstance(part, str):
        named = node.get("properties", {}).get(part) or node.get("additionalProperties")
        return named if isinstance(named, dict) else None
    tuple_items = node.get("prefixItems", [])
    return tuple_items[part] if part < len(tuple_items) else node.get("items")


def _alternatives(whole: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    """The node itself, what it refers to, and its alternatives."""
    found = [node]
    if "$ref" in node:
        found += _alternatives(whole, whole["$defs"][node["$ref"].rpartition("/")[2]])
    for choice in (*node.get("anyOf", []), *node.get("oneOf", [])):
        found += _alternatives(whole, choice)
    return found


_MUST = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text: put it in quotes",
    "tuple_type": "a list such as [a, b]",
    "dict_type": "a mapping such as {{key: value}}",
    "model_type": "a mapping such as {{key: value}}",
    "model_attributes_type": "a mapping such as {{key: value}}",
    "literal_error": "{expected}",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
}
_PREFIX = re.compile(r"^(\S+): ")


def faults_of(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Fault]:
    """One fault per error, at the line of the key it is about."""
    errors = error.errors(include_url=False)
    faults = [_fault(details, document, model) for details in errors if not _is_echo(details, document.data)]
    return list(dict.fromkeys(faults))


def _fault(details: ErrorDetails, document: Document, model: type[BaseModel]) -> Fault:
    key: Key = tuple(part for part in details["loc"] if part != "[key]")
    sentence = _sentence(details, key, model)
    if not isinstance(_value_at(document.data, key[:-1]), dict | list):
        # A single value that stands for several, as one side does for a square field.
        key = key[:-1]
    if details["type"] == "value_error":
        key, sentence = _deeper(key, sentence, document.data, model)
    return Fault(nearest_place(document.places, key), key, sentence)


def _is_echo(details: ErrorDetails, data: Any) -> bool:
    """Whether a list is called too short only because its items have faults of their own."""
    written = _value_at(data, details["loc"])
    return details["type"] == "too_short" and len(written or ()) >= details["ctx"]["min_length"]


def _value_at(data: Any, key: Key) -> Any:
    for part in key:
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        data = data[part] if inside else None
    return data


def _sentence(details: ErrorDetails, key: Key, model: type[BaseModel]) -> str:
    kind, given, ctx = details["type"], details["input"], details.get("ctx", {})
    if kind == "value_error":
        return str(ctx["error"])
    if kind == "missing":
        return f"is missing: add it{_meaning(model, key)}"
    if kind == "extra_forbidden":
        return _unknown_key(model, key)
    if kind in ("too_short", "too_long"):
        bound = f"at least {ctx['min_length']}" if kind == "too_short" else f"at most {ctx['max_length']}"
        return f"must hold {bound}, not {ctx['actual_length']}{_meaning(model, key)}"
    if kind == "literal_error" and key and details["loc"][-1] == "[key]":
        return f"unknown key: it must be {ctx['expected']}{_nearest(str(given), _quoted(ctx['expected']))}"
    if kind in _MUST:
        hint = _nearest(given, _quoted(ctx["expected"])) if kind == "literal_error" else ""
        limits = {name: int(v) if isinstance(v, float) and v.is_integer() else v for name, v in ctx.items()}
        return f"must be {_MUST[kind].format(**limits)}, not {shown(given)}{hint}"
    return f"may not be {shown(given)}{_meaning(model, key)}"


def shown(value: Any) -> str:
    """A value as a person would name it, on one line and not too long."""
    if value is None:
        return "empty"
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unknown_key(model: type[BaseModel], key: Key) -> str:
    known = keys_at(model, key[:-1])
    near = get_close_matches(str(key[-1]), known, n=1)
    return f'unknown key: did you mean "{near[0]}"?' if near else f"unknown key: the keys here are {', '.join(known)}"


def _nearest(given: Any, known: list[str]) -> str:
    near = get_close_matches(given, known, n=1) if isinstance(given, str) else []
    return f': did you mean "{near[0]}"?' if near else ""


def _quoted(expected: str) -> list[str]:
    return re.findall(r"'([^']*)'", expected)


def _meaning(model: type[BaseModel], key: Key) -> str:
    text = meaning(model, key)
    return f" ({text})" if text else ""


def _deeper(key: Key, sentence: str, data: Any, model: type[BaseModel]) -> tuple[Key, str]:
    """A check over a whole mapping or list starts its sentence with the key that it means ("mix.monocyte: ..."):
    that key belongs to the fault's path, unless a single value stands for the mapping."""
    found = _PREFIX.match(sentence)
    parts: Key = tuple(int(p) if p.isdecimal() else p for p in re.findall(r"\w+", found[1])) if found else ()
    if found is None or not parts:
        return key, sentence
    if isinstance(_value_at(data, key), str) and parts[0] in keys_at(model, key):
        return key, sentence[found.end() :]
    if _value_at(data, (*key, parts[0])) is None:
        return key, sentence
    return (*key, *parts), sentence[found.end() :]


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


def _misfit(holder: Any, part: str | int, name: str, kind: DocumentKind) -> str:
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


M = TypeVar("M", bound=BaseModel)


def validate(
    model: type[M], document: Document, overrides: Sequence[str] = (), *, context: dict[str, Any] | None = None
) -> M:
    """`document` as a `model`, valid in every key.

    overrides: "path=value" each, laid over the document in their order. context: for the model's own validators.
    Raises DocumentError with every fault of the document and the overrides.
    """
    for override in overrides:
        apply(document, override)
    valid, faults = None, document.faults
    try:
        valid = model.model_validate(_with_tuples(document.data), strict=True, context=context)
    except ValidationError as error:
        faults = faults + faults_of(error, document, model)
    if valid is None or faults:
        raise DocumentError(faults)
    return valid


def _with_tuples(value: Any) -> Any:
    """Strict validation takes tuples for tuples only, and YAML has lists."""
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(_with_tuples(inner) for inner in value) if isinstance(value, list) else value
