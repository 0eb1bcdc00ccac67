"""Engines: where shards are built. Each is a function of a plan that gives what was built, in the plan's
order.
"""

from smearsynth.engines.local import run as _local

ENGINES = {"local": _local}
