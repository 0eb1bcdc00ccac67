"""The recipe's JSON Schema, for completion in editors and for naming the valid keys in error messages."""

from functools import cache
from typing import Any

from smearsynth.recipe.faults import Key
from smearsynth.recipe.model import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """JSON Schema of a recipe, with the description, default and range of every key."""
    return {"$schema": DIALECT, **Recipe.model_json_schema()}


def keys_at(key: Key) -> list[str]:
    """Names that the mapping at `key` may hold; [] where it is no mapping of fixed names."""
    return sorted({name for node in _nodes(key) for name in node.get("properties", {})})


def meaning(key: Key) -> str:
    """Description of the value at `key`, "" where it has none."""
    return next((node["description"] for node in _nodes(key) if "description" in node), "")


@cache
def _schema() -> dict[str, Any]:
    return schema()


def _nodes(key: Key) -> list[dict[str, Any]]:
    """The parts of the schema that may stand for the value at `key`."""
    nodes = _alternatives(_schema())
    for part in key:
        inner = [_child(node, part) for node in nodes]
        nodes = [found for node in inner if node for found in _alternatives(node)]
    return nodes


def _child(node: dict[str, Any], part: str | int) -> dict[str, Any] | None:
    if isinstance(part, str):
        named = node.get("properties", {}).get(part) or node.get("additionalProperties")
        return named if isinstance(named, dict) else None
    tuple_items = node.get("prefixItems", [])
    return tuple_items[part] if part < len(tuple_items) else node.get("items")


def _alternatives(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The node itself, what it refers to, and its alternatives."""
    found = [node]
    if "$ref" in node:
        found += _alternatives(_schema()["$defs"][node["$ref"].rpartition("/")[2]])
    for choice in node.get("anyOf", []):
        found += _alternatives(choice)
    return found
