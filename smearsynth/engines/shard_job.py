"""The unit of work: one shard, a pure function of the plan and its number.

It holds no state, knows no worker and no other shard, so any engine may run it anywhere, twice, and in any order.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from smearsynth.base.compiled import must_be_compiled
from smearsynth.base.files import file_digest
from smearsynth.base.progress import ProgressBar
from smearsynth.base.workers import in_processes, peak_mb
from smearsynth.dataset import build_state, layout
from smearsynth.dataset.index import SceneTally, ShardRecord
from smearsynth.engines.build_plan import BuildPlan, Job
from smearsynth.rendering.layers import lay_cells
from smearsynth.rendering.looks import render
from smearsynth.scene.placement import place
from smearsynth.shards.format import ShardSample, sample_digest, sample_id
from smearsynth.shards.writer import Packed, ShardWriter, pack

STAGES = ("plan", "render", "digest", "deflate", "write")


@dataclass(frozen=True, kw_only=True)
class Built:
    """A shard and what it took. stages_ns: empty where the shard was there already. worker: "machine:process" that
    had it in hand; peak_mb: of that process, MB.
    """

    record: ShardRecord
    stages_ns: dict[str, int]
    worker: str
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


def warm_up(plan: BuildPlan, *, workers: int = 1, progress: bool = False) -> None:
    """Compiles what is compiled at its first call, so that forked workers find it done and no timing includes it.

    In a new installation that takes most of a minute of one core: then one process compiles what plans smears and
    another, of two workers, what colours them, and this one takes what they have kept. progress: says how far it is.
    """
    if must_be_compiled(place) or must_be_compiled(lay_cells):
        with ProgressBar(what="compile loops, once", unit="parts", total=2, shown=progress) as bar:
            for _ in in_processes(partial(_compile, plan), (False, True), workers=min(workers, 2), tick=bar.update):
                bar.update()
    for job in {job.split: job for job in reversed(plan.jobs)}.values():
        scene = plan.planner.plan(job.split, job.first)
        for look in range(len(plan.header.looks)):
            render(scene, look, plan.bank)


def _compile(plan: BuildPlan, colours: bool, _: Callable[[int], None]) -> None:
    """What colours smears, on one without cells; or what plans them."""
    job = plan.jobs[0]
    if not colours:
        plan.planner.plan(job.split, job.first)
        return
    for look in range(len(plan.header.looks)):
        render(plan.planner.bare(job.split, job.first), look, plan.bank)


def finished_shard(plan: BuildPlan, number: int) -> ShardRecord | None:
    """The record of shard `number` if it is there already, whole and of the plan; else None."""
    job = plan.jobs[number]
    record = build_state.finished(plan.out, job.name, plan.identity.hash)
    return record if record and (record.first, record.stop) == (job.first, job.stop) else None


def finish_shard(plan: BuildPlan, number: int, tick: Callable[[int], None]) -> Built:
    """Shard `number`, built unless it is there already."""
    record = finished_shard(plan, number)
    if record is None:
        return build_shard(plan, number, tick)
    tick(record.samples)
    return _built(record, {})


def build_shard(plan: BuildPlan, number: int, tick: Callable[[int], None]) -> Built:
    """Builds, writes and marks shard `number`. tick hears of samples as they are done; nothing is left if it raises."""
    job, looks = plan.jobs[number], len(plan.header.looks)
    tally, clock = SceneTally(plan.bank.source, len(plan.bank.sources)), Clock()
    with (
        layout.written(plan.out, job.name) as part,
        ShardWriter(
            part,
            header=replace(plan.header, split=job.split),
            rows=(job.stop - job.first) * looks,
            size=plan.size,
            max_objects=plan.max_objects,
            codec=plan.codec,
        ) as writer,
    ):
        for packed in pack_samples(plan, job, tally, clock):
            writer.append(packed)
            clock.lap("write")
            tick(1)
    record = _mark(plan, job, tally)
    clock.lap("write")
    return _built(record, dict(clock.spent))


def pack_samples(plan: BuildPlan, job: Job, tally: SceneTally, clock: Clock) -> Iterator[Packed]:
    """The samples of a shard in their order, ready to be written."""
    looks = plan.header.looks
    for index in range(job.first, job.stop):
        scene = plan.planner.plan(job.split, index)
        tally.add(scene, len(looks))
        clock.lap("plan")
        for look in range(len(looks)):
            image = render(scene, look, plan.bank)
            clock.lap("render")
            digest = sample_digest(image, scene.label, scene.instance, scene.parasite)
            clock.lap("digest")
            sample = ShardSample(
                image=image,
                label=scene.label,
                instance=scene.instance,
                objects=scene.objects,
                background=scene.background,
                scene=index,
                look=look,
                sample_id=sample_id(job.split, index, look, looks),
                digest=digest,
                parasite=scene.parasite,
            )
            packed = pack(sample, max_objects=plan.max_objects, codec=plan.codec)
            clock.lap("deflate")
            yield packed


def _mark(plan: BuildPlan, job: Job, tally: SceneTally) -> ShardRecord:
    """Marks the file that has the shard's name; again, should another builder of the shard, whose bytes can differ (see
    `shards.format`), have put its own there meanwhile. So the last marker is that of the last file.
    """
    path = plan.out / job.name
    while True:
        with path.open("rb") as marked:
            record = _record(plan, job, tally)
            build_state.mark(plan.out, record, plan.identity.hash)
            if os.path.samestat(os.fstat(marked.fileno()), path.stat()):
                return record


def _record(plan: BuildPlan, job: Job, tally: SceneTally) -> ShardRecord:
    path = plan.out / job.name
    return ShardRecord(
        name=job.name,
        split=job.split,
        first=job.first,
        stop=job.stop,
        samples=(job.stop - job.first) * len(plan.header.looks),
        size=path.stat().st_size,
        sha256=file_digest(path),
        pixels=tuple(tally.pixels.tolist()),
        objects=tuple(tally.class_by_source.sum(axis=1).tolist()),
        dropped=tally.dropped,
        combinations=dict(sorted(tally.combinations.items())),
        class_by_source=tuple(map(tuple, tally.class_by_source.tolist())),
    )


def _built(record: ShardRecord, stages_ns: dict[str, int]) -> Built:
    worker = f"{socket.gethostname()}:{os.getpid()}"
    return Built(record=record, stages_ns=stages_ns, worker=worker, peak_mb=peak_mb())
