"""segtrain: trains and measures segmentation networks on smear shards.

    import segtrain
    segtrain.fit("quickstart", config="recipes/fit/quick.yaml", run="runs/first")

The verbs load what they need when they are first used, so that the command line's help stays light.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segtrain.baseline import baseline as baseline
    from segtrain.bench import bench as bench
    from segtrain.compare import compare as compare
    from segtrain.cross_validate import cross_validate as cross_validate
    from segtrain.evaluate import evaluate as evaluate
    from segtrain.export import export as export
    from segtrain.fit import fit as fit
    from segtrain.import_pairs import import_pairs as import_pairs
    from segtrain.predict import predict as predict
    from segtrain.view import view as view

__all__ = [
    "baseline",
    "bench",
    "compare",
    "cross_validate",
    "evaluate",
    "export",
    "fit",
    "import_pairs",
    "predict",
    "view",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        """Importing the module `segtrain.fit` must not put it in the place of the verb of that name."""
        if name not in __all__:
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
