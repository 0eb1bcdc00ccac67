"""segtrain: trains and measures segmentation networks on smear shards.

    import segtrain
    segtrain.fit("quickstart", config="recipes/fit/quick.yaml", run="runs/first")

A verb is imported when it is first used (PEP 562), so that the command line's help stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segtrain.evaluation.baseline import baseline as baseline
    from segtrain.evaluation.evaluate import evaluate as evaluate
    from segtrain.experiments.benchmark import bench as bench
    from segtrain.experiments.compare import compare as compare
    from segtrain.experiments.cross_validation import cross_validate as cross_validate
    from segtrain.experiments.fit import fit as fit
    from segtrain.importing.import_annotations import import_annotations as import_annotations
    from segtrain.inference.predict import predict as predict
    from segtrain.reporting.export_network import export as export
    from segtrain.viewing.viewer import view as view

_MODULES = {
    "baseline": "evaluation.baseline",
    "bench": "experiments.benchmark",
    "compare": "experiments.compare",
    "cross_validate": "experiments.cross_validation",
    "evaluate": "evaluation.evaluate",
    "export": "reporting.export_network",
    "fit": "experiments.fit",
    "import_annotations": "importing.import_annotations",
    "predict": "inference.predict",
    "view": "viewing.viewer",
}
__all__ = [
    "baseline",
    "bench",
    "compare",
    "cross_validate",
    "evaluate",
    "export",
    "fit",
    "import_annotations",
    "predict",
    "view",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
