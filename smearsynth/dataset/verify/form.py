"""The form of a shard against the index: its attributes, and datasets of the format and no others."""

from collections.abc import Iterator
from dataclasses import asdict

import h5py

from smearsynth.differences import shown
from smearsynth.shards.form import NAMES, form_faults, plain
from smearsynth.shards.format import Header


def header_faults(file: h5py.File, header: Header) -> Iterator[str]:
    """Where the attributes are not those of `header`."""
    for name, value in asdict(header).items():
        there = plain(file.attrs[name]) if name in file.attrs else None
        if name != "fields" and there != value:
            yield f"attribute {name} is {shown(there)}, must be {shown(value)}"


def dataset_faults(file: h5py.File, header: Header, *, rows: int, size: tuple[int, int]) -> Iterator[str]:
    """Where the datasets are not those of a shard of `rows` samples of `size` (height, width)."""
    for name in sorted(set(file) - set(NAMES)):
        yield f"holds {shown(name)}, which is not of the format"
    faults = dict(form_faults(file, rows=rows, size=size, columns=len(header.fields)))
    yield from faults.values()
    if "objects" not in faults and plain(file["objects"].attrs.get("fields")) != header.fields:
        yield "attribute `fields` of objects does not name the columns of the format"
