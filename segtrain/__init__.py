"""segtrain: trains and measures segmentation networks on smear shards, and reads real smears with them.

    import segtrain
    segtrain.fit("quickstart", config="recipes/fit/quick.yaml", run="runs/first")
    segtrain.count("runs/first", ["field.png"], out="cells.csv")
    segtrain.load("runs/first").predict(array).label

The commands of `segtrain --help` are functions here, `import` as `import_annotations`. Each is imported when it is
first used (PEP 562), so that the command line's help does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segtrain.counting.count import count as count
    from segtrain.counting.load import load as load
    from segtrain.counting.predict import predict as predict
    from segtrain.evaluation.baseline import baseline as baseline
    from segtrain.evaluation.evaluate import evaluate as evaluate
    from segtrain.evaluation.operate import operate as operate
    from segtrain.evaluation.score import score as score
    from segtrain.experiments.benchmark import bench as bench
    from segtrain.experiments.compare import compare as compare
    from segtrain.experiments.cross_validation import cross_validate as cross_validate
    from segtrain.experiments.fit import fit as fit
    from segtrain.experiments.leaderboard import leaderboard as leaderboard
    from segtrain.importing.import_annotations import import_annotations as import_annotations
    from segtrain.networks.catalogue import models as models
    from segtrain.reporting.export_network import export as export
    from segtrain.reporting.export_network import weights as weights
    from segtrain.reporting.run_page import report as report
    from segtrain.viewing.napari_correction import napari as napari
    from segtrain.viewing.viewer import view as view

_MODULES = {
    "baseline": "evaluation.baseline",
    "bench": "experiments.benchmark",
    "compare": "experiments.compare",
    "count": "counting.count",
    "cross_validate": "experiments.cross_validation",
    "evaluate": "evaluation.evaluate",
    "export": "reporting.export_network",
    "fit": "experiments.fit",
    "leaderboard": "experiments.leaderboard",
    "load": "counting.load",
    "import_annotations": "importing.import_annotations",
    "models": "networks.catalogue",
    "napari": "viewing.napari_correction",
    "operate": "evaluation.operate",
    "predict": "counting.predict",
    "report": "reporting.run_page",
    "score": "evaluation.score",
    "view": "viewing.viewer",
    "weights": "reporting.export_network",
}
__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
