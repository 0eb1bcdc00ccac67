"""Engines: where shards are built. Each is a function of a plan that gives what was built, in the plan's order."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from smearsynth.base.errors import UserError
from smearsynth.engines import dask_engine, local_engine
from smearsynth.engines.build_plan import BuildPlan
from smearsynth.engines.shard_job import Built

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
    return partial(local_engine.run, workers=workers)
