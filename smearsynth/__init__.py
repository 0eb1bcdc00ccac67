"""smearsynth: annotated blood smears, composited from real single cells, with exact labels.

    import smearsynth
    smearsynth.check("recipe.yaml")
    smearsynth.build("recipe.yaml")
    smearsynth.verify("smears", labels=True)

A verb is imported when it is first used (PEP 562), so that the command line's help and a training that only reads
shards stay light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smearsynth.verbs.build import build as build
    from smearsynth.verbs.build import finish as finish
    from smearsynth.verbs.check import check as check
    from smearsynth.verbs.diff import diff as diff
    from smearsynth.verbs.export import export as export
    from smearsynth.verbs.replay import replay as replay
    from smearsynth.verbs.stats import report as report
    from smearsynth.verbs.stats import stats as stats
    from smearsynth.verbs.verify import verify as verify

_MODULES = {
    "build": "verbs.build",
    "check": "verbs.check",
    "diff": "verbs.diff",
    "export": "verbs.export",
    "finish": "verbs.build",
    "replay": "verbs.replay",
    "report": "verbs.stats",
    "stats": "verbs.stats",
    "verify": "verbs.verify",
}
__all__ = ["build", "check", "diff", "export", "finish", "replay", "report", "stats", "verify"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
