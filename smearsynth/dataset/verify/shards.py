"""All shards of a set, each checked in a process of its own."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from smearsynth.dataset import layout
from smearsynth.dataset.record import ShardRecord
from smearsynth.dataset.verify.contained import Died, Tick, in_order
from smearsynth.dataset.verify.fault import Fault
from smearsynth.dataset.verify.shard import Task, check_shard
from smearsynth.dataset.verify.stated import Stated


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the shards hold. records: by name, of those in which every sample could be read. samples: that could be
    read. digest: of the set, by their pixels; "" unless all could be read."""

    faults: list[Fault]
    records: dict[str, ShardRecord]
    samples: int
    digest: str


def check_shards(stated: Stated, tasks: Sequence[Task], *, workers: int, tick: Tick) -> Found:
    """tasks: the shards that are there, in dataset order. tick hears of samples as they are done."""
    faults: list[Fault] = []
    records: dict[str, ShardRecord] = {}
    samples, whole = 0, hashlib.sha256()
    for task, checked in zip(tasks, in_order(check_shard, tasks, workers=workers, tick=tick), strict=True):
        name = task.file.name
        if isinstance(checked, Died):
            faults.append(Fault(name, f"cannot be read: {checked.how} while it was read, so it is damaged"))
            continue
        faults += checked.faults
        samples += len(checked.digests) // whole.digest_size
        whole.update(checked.digests)
        if checked.record:
            records[name] = checked.record
    complete = len(records) == len(stated.shards)
    if complete and whole.hexdigest() != stated.digest:
        faults.append(Fault(layout.INDEX, f"digest is {stated.digest}, and the samples give {whole.hexdigest()}"))
    return Found(faults=faults, records=records, samples=samples, digest=whole.hexdigest() if complete else "")
