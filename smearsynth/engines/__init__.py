"""Engines: where shards are built. Each is a function of a plan that gives what was built, in the plan's order."""

from smearsynth.engines import local

ENGINES = {"local": local.run}
