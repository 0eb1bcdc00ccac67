"""Anybody's predictions of a split, scored alike: an entry of a leaderboard.

What is measured needs label maps only, so that no entry depends on this program. Intervals of 95 % are by the bootstrap
over scenes. Cells of an entry that does not give them are found as `segtrain count` finds them.
"""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from segtrain.counting.cell_measures import measure_cells
from segtrain.data.samples import INSTANCE, Shards
from segtrain.evaluation.baseline import sure_logits
from segtrain.evaluation.figures import NAMES, Figures, estimate_line, table, without_nan
from segtrain.evaluation.named_cells import names_table, naming_figures
from segtrain.evaluation.set_evaluation import PixelMetrics, numbered, true_cells, units_of
from segtrain.evaluation.submission import PredictedMap, Submission
from segtrain.metrics.bootstrap import bootstrap
from segtrain.metrics.cell_naming import LEAST
from segtrain.metrics.confusion import OF_CLASS, WHOLE, all_scores, per_image
from segtrain.metrics.object_scores import ObjectScores
from smearsynth.base.files import write_text
from smearsynth.base.progress import with_progress
from smearsynth.shards.format import SHORT_DIGEST
from smearsynth.taxonomy import CLASSES

_SURE = 255
"""Confidence of a label map, which has none of its own."""
Ints = npt.NDArray[np.int64]


def score(
    predictions: str | Path,
    dataset: str | Path,
    *,
    split: str = "test",
    name: str,
    external_data: str,
    pretraining: str,
    link: str = "",
    out: str | Path | None = None,
    progress: bool = True,
) -> Figures:
    """An entry: what the predictions of a split of `dataset` are worth.

    predictions: a folder of PNG files, an .npz, an .h5 or results of COCO; see `evaluation.submission`. name: of the
    entry. external_data, pretraining: what was used beside the set's training split, "none" where nothing was. link: to
    a paper or code. out: a JSON file for `leaderboard`. progress: a bar on stderr, or lines in a log.

    Of the figures, miou, pixel_accuracy and foreground_dice, and iou, dice, precision and recall in per_class by key,
    are mappings of value, low and high; reference_accuracy, boundary_f1 and hd95 (px) are numbers. `cells`, of a set
    that knows its cells: `objects` as of `ObjectScores.report`, and of a set of blood cells `names` as of
    `named_cells.naming_figures`. None where there is nothing to measure. Raises UserError with what is missing, too
    many, of another size or no class.

    >>> import numpy as np
    >>> test = smearsynth.open("quickstart")["test"]
    >>> np.savez("answers.npz", **{smear.id: smear.label for smear in test})
    >>> entry = segtrain.score(
    ...     "answers.npz", "quickstart", name="peeped", external_data="the answers", pretraining="none", progress=False
    ... )
    >>> entry["miou"]["value"]
    1.0
    """
    shards = Shards(Path(dataset), split)
    samples = [shards.sample_id(i) for i in range(len(shards))]
    given = Submission.open(Path(predictions), samples)
    ids = _names(shards, samples, given)
    given.check_ids(ids, f"{shards.root}, split {split}")
    classes, keys = len(shards.classes), shards.classes.keys
    metrics = PixelMetrics(shards.classes, torch.device("cpu"), boundaries=True)
    objects = ObjectScores(keys) if shards.has(INSTANCE) else None
    matrices, tables = [], []
    for i in with_progress(range(len(ids)), what="score", unit="images", shown=progress):
        _, label = shards.read(i)
        predicted = given.read(ids[i], label.shape, classes)
        truth, called = torch.from_numpy(label.copy())[None], torch.from_numpy(predicted.label)[None]
        metrics.update(sure_logits(called.long(), classes), truth)
        matrices.append(per_image(called, truth, classes)[0].numpy())
        if objects is not None:
            true, kinds = true_cells(shards, i)
            objects.update(*_found(predicted, keys, shards.um_per_px), true, kinds)
            tables.append(_called(predicted.label, true, kinds, classes))
    units = units_of(shards, np.arange(len(ids)))
    pixels = metrics.figures()
    estimates = [found.plain() for found in bootstrap(np.stack(matrices), units, all_scores)]
    of_class = np.reshape(np.array(estimates[len(WHOLE) :], object), (len(OF_CLASS), classes)).T
    figures: Figures = {
        "name": name,
        "link": link,
        "external_data": external_data,
        "pretraining": pretraining,
        "set": {"name": shards.index.get("name"), "digest": shards.digest, "split": split, "samples": len(ids)},
        "version": version("smearsynth"),
        **dict(zip(WHOLE, estimates, strict=False)),
        **{key: pixels[key] for key in ("reference_accuracy", "boundary_f1", "hd95")},
        "per_class": {
            key: {**dict(zip(OF_CLASS, row, strict=True)), "boundary_f1": pixels["per_class"][key]["boundary_f1"]}
            for key, row in zip(keys, of_class.tolist(), strict=True)
        },
    }
    if objects is not None:
        figures["cells"] = {"objects": without_nan(objects.report())}
        if keys == tuple(c.key for c in CLASSES):
            figures["cells"]["names"] = naming_figures(np.stack(tables), units)
    if out is not None:
        write_text(Path(out), json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    return figures


def _names(shards: Shards, samples: list[str], given: Submission) -> list[str]:
    """Of the samples, as the predictions name them: by id, or as `smearsynth export --without-labels` names images."""
    column = shards.column("digest")
    short = [] if column is None else [str(digest)[:SHORT_DIGEST] for digest in column]
    return short if set(short) & set(given.ids) else samples


def score_table(figures: Figures) -> str:
    """The figures for a person."""
    lines = [estimate_line(NAMES[key], figures[key], ".4f") for key in WHOLE]
    per_class = {
        key: {"iou": row["iou"]["value"], "dice": row["dice"]["value"], "boundary_f1": row["boundary_f1"]}
        for key, row in figures["per_class"].items()
    }
    plain = {key: figures[key] for key in ("reference_accuracy", "boundary_f1", "hd95")} | {"per_class": per_class}
    cells = figures.get("cells", {})
    parts = ["\n".join(lines), table(plain | ({"objects": cells["objects"]} if cells else {}))]
    return "\n\n".join(parts + ([names_table(cells["names"])] if "names" in cells else []))


def _found(predicted: PredictedMap, keys: Sequence[str], um_per_px: float) -> tuple[Ints, Ints]:
    """The predicted cells, (H, W), numbered from 1, and the class of each, int64 (n,)."""
    if predicted.cells is None:
        sure = np.full_like(predicted.label, _SURE)
        found = measure_cells(predicted.label, sure, keys=keys, um_per_px=um_per_px)
        return found.map.astype(np.int64), found.class_ids(keys)[1:].astype(np.int64)
    return numbered(predicted.cells, predicted.label)


def _called(label: npt.NDArray[np.uint8], true: Ints, kinds: Ints, classes: int) -> Ints:
    """int64 (C, C): the true cells by class and by the class that most of their predicted pixels of any cell are of, 0
    where there are none. Cells that show less than `LEAST` pixels are left out. true: (H, W), 0 or a row of `kinds` +
    1."""
    count = len(kinds) + 1
    pixels = np.bincount(true.ravel() * classes + label.ravel(), minlength=count * classes).reshape(count, classes)[1:]
    cells = pixels[:, 1:]
    called = np.where(cells.any(axis=1), 1 + cells.argmax(axis=1), 0)
    seen = pixels.sum(axis=1) >= LEAST
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (kinds[seen], called[seen]), 1)
    return table
