"""smearsynth: annotated blood smears, composited from real single cells, with exact labels.

    import smearsynth
    smearsynth.check("recipe.yaml")
    smearsynth.build("recipe.yaml")
    smearsynth.verify("smears", labels=True)

The commands of `smearsynth --help` are functions here. Each is imported when it is first used (PEP 562), for together
they take seconds to import, which neither the command line's help nor a training that reads shards should wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smearsynth.drawing.databases import phantoms as phantoms
    from smearsynth.realism.comparison import fidelity as fidelity
    from smearsynth.recipe.reading import schema as schema
    from smearsynth.verbs.build import build as build
    from smearsynth.verbs.build import finish as finish
    from smearsynth.verbs.cells import cells as cells
    from smearsynth.verbs.check import check as check
    from smearsynth.verbs.diff import diff as diff
    from smearsynth.verbs.export import export as export
    from smearsynth.verbs.open import open as open
    from smearsynth.verbs.open import render as render
    from smearsynth.verbs.preview import bench as bench
    from smearsynth.verbs.preview import preview as preview
    from smearsynth.verbs.replay import replay as replay
    from smearsynth.verbs.stats import report as report
    from smearsynth.verbs.stats import stats as stats
    from smearsynth.verbs.verify import verify as verify

_MODULES = {
    "bench": "verbs.preview",
    "build": "verbs.build",
    "cells": "verbs.cells",
    "check": "verbs.check",
    "diff": "verbs.diff",
    "export": "verbs.export",
    "fidelity": "realism.comparison",
    "finish": "verbs.build",
    "open": "verbs.open",
    "phantoms": "drawing.databases",
    "preview": "verbs.preview",
    "render": "verbs.open",
    "replay": "verbs.replay",
    "report": "verbs.stats",
    "schema": "recipe.reading",
    "stats": "verbs.stats",
    "verify": "verbs.verify",
}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
