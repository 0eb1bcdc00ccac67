"""smearsynth: annotated blood smears, composited from real single cells, with exact labels.

    import smearsynth
    smearsynth.check("recipe.yaml")
    smearsynth.build("recipe.yaml")
    smearsynth.verify("smears", labels=True)

The verbs load what they need when they are first used, so that the command line's help and a training that
only reads shards stay light.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smearsynth.build import build as build
    from smearsynth.check import check as check
    from smearsynth.dataset.diff import diff as diff
    from smearsynth.dataset.replay import replay as replay
    from smearsynth.verify import verify as verify

__all__ = ["build", "check", "diff", "replay", "verify"]
_OF_A_DATASET = {"diff", "replay"}
"""Verbs that lie with what they are about; every other is a module of its own."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        room = f"{__name__}.dataset" if name in _OF_A_DATASET else __name__
        return getattr(import_module(f"{room}.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        """Importing the module `smearsynth.build` must not put it in the place of the verb of that name."""
        if name not in __all__:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
