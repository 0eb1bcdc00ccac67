"""Pydantic's errors to faults: our words, our key paths, and what mends each."""

import re
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from smearsynth.strict_yaml.document import Document
from smearsynth.strict_yaml.faults import Fault, Key, nearest_place
from smearsynth.strict_yaml.schema import keys_at, meaning

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
