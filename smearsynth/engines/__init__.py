"""Engines: where shards are built. Each is a function of a plan that gives what was built, in the plan's order.

A shard is never divided: a set of fewer shards than workers leaves some idle, and smaller shards (`shards.samples`)
mend that without changing a sample.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from smearsynth.base.errors import UserError
from smearsynth.base.workers import WorkerDiedError, in_processes
from smearsynth.engines import dask_engine
from smearsynth.engines.build_plan import BuildPlan
from smearsynth.engines.shard_job import Built, finish_shard

ENGINES = ("local", "dask")


class Engine(Protocol):
    """Builds all shards of a plan; progress hears of samples as they are done."""

    def __call__(self, plan: BuildPlan, *, progress: Callable[[int], object]) -> list[Built]: ...


def find_engine(name: str, *, workers: int, scheduler: str | None) -> Engine:
    """The engine of that name. Raises UserError where it cannot be had, before any work is done."""
    if name == "dask":
        dask_engine.check(scheduler)
        return partial(dask_engine.run, workers=workers, scheduler=scheduler)
    if name != "local":
        raise UserError(f"There is no engine {name!r}: choose one of {', '.join(ENGINES)}.")
    if scheduler is not None:
        raise UserError("only the engine dask has a scheduler: choose that engine with it", "engine", "scheduler")
    return partial(run_here, workers=workers)


def run_here(plan: BuildPlan, *, workers: int, progress: Callable[[int], object]) -> list[Built]:
    """The local engine: so many processes of this machine, which where they are forked share the bank's memory.

    Raises WorkerDiedError, and what a worker raises. Whatever is raised, Ctrl-C included, only finished shards are
    left.
    """
    numbers, order = range(len(plan.jobs)), plan.largest_first()
    try:
        return list(in_processes(partial(finish_shard, plan), numbers, workers=workers, tick=progress, order=order))
    except WorkerDiedError as error:
        raise WorkerDiedError(f"{error} The finished shards are kept: resume it", "resume") from error
