"""smearsynth: annotated blood smears, composited from real single cells, with exact labels.

    import smearsynth
    smearsynth.check("recipe.yaml")
    smearsynth.build("recipe.yaml")
    smearsynth.verify("smears", labels=True)

The verbs load what they need when they are first used, so that the command line's help and a training that
only reads shards stay light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smearsynth.verbs.build import build as build
    from smearsynth.verbs.check import check as check
    from smearsynth.verbs.diff import diff as diff
    from smearsynth.verbs.export import export as export
    from smearsynth.verbs.finish import finish as finish
    from smearsynth.verbs.replay import replay as replay
    from smearsynth.verbs.report import report as report
    from smearsynth.verbs.stats import stats as stats
    from smearsynth.verbs.verify import verify as verify

__all__ = ["build", "check", "diff", "export", "finish", "replay", "report", "stats", "verify"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.verbs.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
