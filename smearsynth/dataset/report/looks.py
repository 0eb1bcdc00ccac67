"""Looks on the page: what the recipe says of them, and how they came out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smearsynth.dataset.stats.colour import Sampled, Sums
from smearsynth.recipe.looks import LookSpec

_SWATCHES = 48


def parameters(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the looks, and per parameter its value in each and what it means."""
    looks = recipe.get("looks") or []
    names = dict.fromkeys(key for look in looks for key in look if key != "name")
    rows = [
        (name, [_value(look.get(name)) for look in looks], field.description or "" if field else "")
        for name in names
        for field in [LookSpec.model_fields.get(name)]
    ]
    return {"names": [look["name"] for look in looks], "rows": rows}


def _value(value: Any) -> str:
    """Of a parameter: a range as "0.1 to 0.3"; of red, green and blue one after the other."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        parts = [_value(part) for part in value]
        if len(parts) != 2:
            return ", ".join(parts)
        return parts[0] if parts[0] == parts[1] else f"{parts[0]} to {parts[1]}"
    return f"{value:g}" if isinstance(value, float) else str("" if value is None else value)


def swatches(sampled: Sampled) -> dict[str, list[tuple[str, str]]]:
    """By look: mean colours of glass and of cells of some smears, from the darkest to the brightest glass."""
    found = {}
    for look, cells in sampled.cells.items():
        both = [pair for pair in zip(sampled.glass[look], cells, strict=True) if all(sums.pixels for sums in pair)]
        both.sort(key=lambda pair: float(pair[0].values.sum() / pair[0].pixels))
        taken = np.linspace(0, len(both) - 1, min(len(both), _SWATCHES)).astype(int)
        found[look] = [(_hex(both[i][0]), _hex(both[i][1])) for i in taken]
    return found


def _hex(sums: Sums) -> str:
    return "#" + bytes(np.rint(sums.values / sums.pixels).astype(np.uint8)).hex()
