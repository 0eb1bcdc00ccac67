"""The index against the samples: what it counts, counted again from the shards by what makes an index."""

from collections.abc import Iterator, Sequence

from smearsynth.cells.bank import Bank
from smearsynth.dataset import layout
from smearsynth.dataset.index import count_sources, count_split
from smearsynth.dataset.record import ShardRecord
from smearsynth.dataset.verify.fault import Fault
from smearsynth.dataset.verify.stated import Split
from smearsynth.differences import differences, shown
from smearsynth.taxonomy import CLASSES


def count_faults(told: Split, split: str, records: Sequence[ShardRecord], bank: Bank | None) -> Iterator[Fault]:
    """Where what the index has told of a split is not what `records` of all its shards hold.

    Without a bank, and so without sources, only the sums over the sources are held against the objects. `dropped` is
    in no shard, and `area` in no index of an earlier smearsynth.
    """
    due = count_split(records) | (count_sources(records, bank, split) if bank else _summed(told))
    untold = {"dropped", *(() if told.area else ("area",))}
    for path, there, found in differences(told.model_dump(exclude=untold), {**due, **dict.fromkeys(untold)}):
        yield _fault(f"{split}.{path} is", there, found)
    if bank is None:
        objects = {c.key: sum(told.class_by_source.get(c.key, {}).values()) for c in CLASSES[1:]}
        for path, there, found in differences(objects, due["objects"]):
            yield _fault(f"{split}.class_by_source.{path} adds up to", there, found)


def _fault(what: str, there: object, found: object) -> Fault:
    return Fault(layout.INDEX, f"splits.{what} {shown(there)}, and the shards hold {shown(found)}")


def _summed(told: Split) -> dict[str, object]:
    return told.model_dump(include={"class_by_source", "cells", "area", "assembled"})
