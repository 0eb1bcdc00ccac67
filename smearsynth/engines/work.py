"""The unit of work: one shard, a pure function of the plan and its number.

It holds no state, knows no worker and no other shard, so any engine may run it anywhere, twice, and in any
order.
"""

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smearsynth.cells.bank import Bank
from smearsynth.dataset import layout, state
from smearsynth.dataset.record import ShardRecord, Tally
from smearsynth.files import file_digest
from smearsynth.render import render
from smearsynth.scene.plan import Planner
from smearsynth.shards.digest import sample_digest
from smearsynth.shards.format import Header, Sample, sample_id
from smearsynth.shards.writer import Packed, ShardWriter, pack
from smearsynth.taxonomy import SPLITS

STAGES = ("plan", "render", "digest", "deflate", "write")


@dataclass(frozen=True, kw_only=True)
class Job:
    """Scenes `first` to `stop` - 1 of a split, which make shard `ordinal` of that split."""

    split: str
    ordinal: int
    first: int
    stop: int

    @property
    def name(self) -> str:
        return layout.shard_name(self.split, self.ordinal)


@dataclass(frozen=True, kw_only=True)
class BuildPlan:
    """All that a worker needs. max_objects: rows of the object table. header: of all shards, its split left
    open.
    """

    out: Path
    planner: Planner
    bank: Bank
    header: Header
    size: tuple[int, int]
    max_objects: int
    codec: str
    identity: str
    jobs: tuple[Job, ...]


@dataclass(frozen=True, kw_only=True)
class Built:
    """A shard and what it cost. stages_ns is empty where the shard was there already; peak_mb is the
    worker's.
    """

    record: ShardRecord
    stages_ns: dict[str, int]
    peak_mb: float


class Clock:
    """Splits the time that passes among stages."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._last = time.perf_counter_ns()

    def lap(self, stage: str) -> None:
        """What passed since the last call went into `stage`."""
        now = time.perf_counter_ns()
        self.spent[stage] += now - self._last
        self._last = now


def make_jobs(count: Mapping[Any, int], scenes: int) -> tuple[Job, ...]:
    """Cuts the splits into shards of `scenes` scenes, the last of a split partial."""
    return tuple(
        Job(split=split, ordinal=ordinal, first=first, stop=min(first + scenes, count[split]))
        for split in SPLITS
        if split in count
        for ordinal, first in enumerate(range(0, count[split], scenes))
    )


def warm_up(plan: BuildPlan) -> None:
    """Compiles what is compiled at its first call, so that forked workers find it done and no timing holds
    it.
    """
    for job in {job.split: job for job in reversed(plan.jobs)}.values():
        scene = plan.planner.plan(job.split, job.first)
        for look in range(len(plan.header.looks)):
            render(scene, look, plan.bank)


def finish_shard(plan: BuildPlan, number: int, tick: Callable[[int], None]) -> Built:
    """Shard `number`, built unless it is there already, whole and of the same identity."""
    job = plan.jobs[number]
    record = state.finished(plan.out, job.name, plan.identity)
    if record is None or (record.first, record.stop) != (job.first, job.stop):
        return build_shard(plan, number, tick)
    tick(record.samples)
    return Built(record=record, stages_ns={}, peak_mb=peak_mb())


def build_shard(plan: BuildPlan, number: int, tick: Callable[[int], None]) -> Built:
    """Builds, writes and marks shard `number`. tick hears of samples as they are done; if it raises, none is
    left.
    """
    job, looks = plan.jobs[number], len(plan.header.looks)
    tally, clock = Tally(plan.bank.source, len(plan.bank.sources)), Clock()
    writer = ShardWriter(
        plan.out / job.name,
        header=replace(plan.header, split=job.split),
        rows=(job.stop - job.first) * looks,
        size=plan.size,
        max_objects=plan.max_objects,
        codec=plan.codec,
        temporary=plan.out / layout.STATE / f"{job.name}.part",
    )
    with writer:
        for packed in pack_samples(plan, job, tally, clock):
            writer.append(packed)
            clock.lap("write")
            tick(1)
    record = _record(plan.out, job, tally, looks)
    state.mark(plan.out, record, plan.identity)
    clock.lap("write")
    return Built(record=record, stages_ns=dict(clock.spent), peak_mb=peak_mb())


def pack_samples(plan: BuildPlan, job: Job, tally: Tally, clock: Clock) -> Iterator[Packed]:
    """The samples of a shard in their order, ready to be written."""
    looks = plan.header.looks
    for index in range(job.first, job.stop):
        scene = plan.planner.plan(job.split, index)
        tally.add(scene, len(looks))
        clock.lap("plan")
        for look in range(len(looks)):
            image = render(scene, look, plan.bank)
            clock.lap("render")
            digest = sample_digest(image, scene.label, scene.instance)
            clock.lap("digest")
            sample = Sample(
                image=image,
                label=scene.label,
                instance=scene.instance,
                objects=scene.objects,
                background=scene.background,
                scene=index,
                look=look,
                sample_id=sample_id(job.split, index, look, looks),
                digest=digest,
            )
            packed = pack(sample, max_objects=plan.max_objects, codec=plan.codec)
            clock.lap("deflate")
            yield packed


def _record(out: Path, job: Job, tally: Tally, looks: int) -> ShardRecord:
    return ShardRecord(
        name=job.name,
        split=job.split,
        first=job.first,
        stop=job.stop,
        samples=(job.stop - job.first) * looks,
        size=(out / job.name).stat().st_size,
        sha256=file_digest(out / job.name),
        pixels=tuple(tally.pixels.tolist()),
        objects=tuple(tally.class_by_source.sum(axis=1).tolist()),
        dropped=tally.dropped,
        combinations=dict(sorted(tally.combinations.items())),
        class_by_source=tuple(map(tuple, tally.class_by_source.tolist())),
    )


def peak_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
