"""Placements in units that need no explanation, for tables and JSON.

The conversions are exact: every value of a shard has a float64 of its own, and its shortest decimal leads back to it.
"""

from typing import Any

from smearsynth.dataset.export.samples import Sample
from smearsynth.shards.format import Header

_UNITS = {"cx": 1 / 256, "cy": 1 / 256, "angle": 360 / 65536, "scale": 1 / 65536}
"""What one step of a column is worth: px, px, degrees, times the size in the bank. The others are whole numbers."""


def columns(header: Header) -> tuple[str, ...]:
    """`instance`, the value in the instance map; `class`, a key; then the columns of the shards."""
    return "instance", "class", *(name for name in header.fields if name != "class")


def described(sample: Sample, header: Header) -> list[dict[str, Any]]:
    """A mapping with the keys of `columns` for each object of a sample that has some, in ascending z."""
    assert sample.objects is not None
    told = []
    for instance, row in enumerate(sample.objects.tolist(), start=1):
        values = dict(zip(header.fields, row, strict=True))
        key = header.class_keys[values.pop("class")]
        placed = {name: value * _UNITS.get(name, 1) for name, value in values.items()}
        told.append({"instance": instance, "class": key, **placed})
    return told
