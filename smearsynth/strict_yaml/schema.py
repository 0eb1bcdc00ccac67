"""What a model's JSON Schema knows of its keys, for naming them in error messages."""

from functools import cache
from typing import Any

from pydantic import BaseModel

from smearsynth.strict_yaml.faults import Key


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
