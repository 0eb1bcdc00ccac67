"""A trained network measured: on a split of a dataset, or on a folder of real fields beside the Otsu baseline."""

import math
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

from segtrain.counting.cell_measures import FieldCells, cells_of, count_field
from segtrain.data.dataloader import Loader
from segtrain.data.samples import INSTANCE, Classes, Shards
from segtrain.evaluation.baseline import best_threshold, otsu_field, with_threshold
from segtrain.evaluation.field_evaluation import Method, count_boxed, measure_fields, save_errors
from segtrain.evaluation.figures import Figures
from segtrain.evaluation.named_cells import measure_names, read_named_fields
from segtrain.evaluation.set_evaluation import CellCounts, NamedTruth, PixelMetrics, Predict, predictions
from segtrain.importing.outlined_images import read_class_names
from segtrain.inference.field_prediction import image_warnings, predict_field
from segtrain.inference.image_reader import ArrayReader, open_image
from segtrain.inference.prediction_files import check_folder
from segtrain.inference.ready_networks import Networks, load_networks
from segtrain.pretrained import or_shipped
from segtrain.training.device import Compute, choose
from segtrain.training.run_folder import Trained, load_trained
from segtrain.training.training_data import open_split
from smearsynth.base.errors import UserError
from smearsynth.fields.field_folder import Field, Mask, is_folder, read_fields
from smearsynth.fields.scale import AUTO, Scale, to_native


def evaluate(
    run: str | Path | None,
    target: str | Path,
    *,
    split: str = "test",
    um_per_px: str | float | None = None,
    boundaries: bool = False,
    objects: bool = False,
    threshold: str | float | None = None,
    classes: Mapping[str, str | None] | str | Path | None = None,
    cells: str | Path | None = None,
    pictures: str | Path | None = None,
    page: int | None = None,
    which: Literal["best", "last"] = "best",
    device: str = "auto",
    progress: bool = True,
) -> Figures:
    """What the network of `run` is worth; None is that which comes with the package.

    target: a dataset, measured on `split`: see `set_evaluation.PixelMetrics.figures`, and where it knows its cells
    `CellNaming.report`. boundaries: measure outlines,
    too, which is slow. objects: count its cells, too; the figures then have `objects`, as `ObjectScores.report` gives
    it, None for nan. threshold: of a dataset of two classes, the probability from which a pixel is of the second, 0 to
    1, or "val", which chooses it on the validation split by F-score; it is then among the figures.

    Or a folder of real fields with masks, of `um_per_px` (a number, a table's path, or "auto"): see
    `field_evaluation.measure_fields`; `baseline` has the same of Otsu, and each of `images` also um_per_px and
    baseline_dice, and of a field with boxes what `field_evaluation.count_boxed` gives; `warnings` are sentences.
    pictures: a folder for a picture of each field that shows where the network is wrong.

    Or, with `classes`, a folder of real images in which somebody has named cells, by points, boxes or outlines of any
    annotation tool or by a folder for each class: see `named_cells.measure_names`. classes: what those names stand for,
    a mapping or the path of a YAML file of lines `NAME: CLASS`. cells: the run of a network that names the cells which
    `run` finds.

    page: of TIFF images of a folder, where several could be the image, from 1. which: the network of the best epoch or
    of the last. device: "auto", "cpu", "cuda" or "cuda:1". progress: bars on stderr, or lines in a log. Raises
    UserError.

    >>> figures = segtrain.evaluate("runs/first", "quickstart", progress=False)
    >>> 0 <= figures["miou"] <= figures["pixel_accuracy"] <= 1
    True
    """
    target, known = Path(target), run is not None
    run, cells = or_shipped(run, cells)
    if classes is not None:
        given = {"objects": objects, "boundaries": boundaries, "threshold": threshold, "pictures": pictures}
        if other := next((name for name, value in given.items() if value), None):
            raise UserError(f"{target} is measured by the names of its cells alone: leave it out", other)
        named = classes if isinstance(classes, Mapping) else read_class_names(Path(classes))
        warnings: list[str] = []
        fields = read_named_fields(target, named, warnings, page)
        networks = load_networks([run], which=which, device=device, cells=cells)
        paths = [field.path for field in fields]
        scales = Scale(str(AUTO if um_per_px is None else um_per_px)).of_folder(paths, page=page, progress=progress)
        counted = partial(count_file, networks, dict(zip(paths, scales, strict=True)), warnings, page=page)
        return measure_names(fields, counted, progress=progress) | {"warnings": warnings}
    if cells is not None and known:
        raise UserError(f"{target} is measured without names of its cells: give `classes`, or leave it out", "cells")
    if is_folder(target):
        if threshold is not None:
            raise UserError(
                f"{target} is a folder of images, and only of a dataset is a class chosen so: leave it out", "threshold"
            )
        if objects:
            raise UserError(
                f"{target} is a folder of images, whose cells are counted where it has boxes/: leave it out", "objects"
            )
        if um_per_px is None:
            raise UserError(
                f"{target}: its scale is not known; give a number, a table FILE.csv, or `auto`", "um_per_px"
            )
        network = NetworkMethod(load_networks([run], which=which, device=device), Scale(str(um_per_px)), page)
        return _on_fields(network, target, Path(pictures) if pictures else None, page, progress=progress)
    if um_per_px is not None:
        raise UserError(
            f"{target} has no img/ and mask/, and only real images are given a scale: leave it out", "um_per_px"
        )
    if pictures is not None:
        raise UserError(
            f"{target} has no img/ and mask/, and only of real images are errors drawn: leave it out", "pictures"
        )
    trained = load_trained(Path(run), which)
    shards = open_split(trained.config, target, split)
    check_classes(trained.classes, shards)
    check_held_out(trained, shards, Path(run))
    compute = choose(amp=trained.config.amp, channels_last=trained.config.channels_last, device=device)
    predict = compute.placed(trained.model)
    metrics = PixelMetrics(shards.classes, compute.device, boundaries=boundaries)
    counts = CellCounts(shards) if objects else None
    naming = NamedTruth(shards, compute.device) if shards.has(INSTANCE) else None
    chosen: Figures = {}
    if threshold is not None:
        chosen["threshold"] = _threshold(str(threshold), predict, trained, target, compute, progress=progress)
        predict = with_threshold(predict, chosen["threshold"])
    with closing(_loader(shards, trained, compute)) as loader:
        for logits, label, number in predictions(predict, loader, progress=progress):
            metrics.update(logits, label)
            if naming is not None:
                naming.update(logits, label, number)
            if counts is not None:
                counts.update(logits, number)
    figures = metrics.figures() | (naming.figures() if naming is not None else {}) | chosen
    return figures | ({"objects": counts.figures()} if counts is not None else {})


def count_file(
    networks: Networks, um_per_px: Mapping[Path, float], warnings: list[str], path: Path, *, page: int | None = None
) -> FieldCells:
    """The cells of an image's file. warnings: those of the image are added."""
    image = open_image(path, page)
    try:
        warnings += image_warnings(image, networks)
        return count_field(networks, image, um_per_px[path])[0]
    finally:
        image.close()


def check_held_out(trained: Trained, shards: Shards, run: Path) -> None:
    """UserError where the network of a fold would be measured on a split that it learnt from."""
    if trained.fold and shards.split != "test" and shards.digest == trained.data_digest:
        raise UserError(
            f"{run} is of one fold, which learnt from samples of this set's split {shards.split!r}: its figures on "
            "those held out are in summary.json; measure it on the split `test`, or on another set",
            "split",
        )


def _loader(shards: Shards, trained: Trained, compute: Compute) -> Loader:
    return Loader(shards, batch=trained.config.batch, shuffle=False, device=compute.device)


def _threshold(
    asked: str, predict: Predict, trained: Trained, dataset: Path, compute: Compute, *, progress: bool
) -> float:
    if len(trained.classes) != 2:
        raise UserError(
            f"only two classes are told apart so, and {dataset} has {len(trained.classes)}: leave it out", "threshold"
        )
    if asked == "val":
        held_out = Shards(dataset, "val")
        check_held_out(trained, held_out, dataset)
        with closing(_loader(held_out, trained, compute)) as loader:
            return best_threshold(predictions(predict, loader, progress=progress))
    try:
        value = float(asked)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise UserError(f"must be between 0 and 1, or `val` to choose it there, not {asked}", "threshold")
    return value


def check_classes(classes: Classes, shards: Shards) -> None:
    """UserError where a dataset has other classes than a network."""
    if shards.classes.keys != classes.keys:
        raise UserError(
            f"{shards.root} has the classes {', '.join(shards.classes.keys)}, the network was trained on "
            f"{', '.join(classes.keys)}: evaluate it on a dataset of the same classes."
        )


class NetworkMethod:
    """A method for `measure_fields`: the field is predicted at the network's scale and brought back. A pixel is of a
    cell where background is less likely than all cells together."""

    def __init__(self, networks: Networks, scale: Scale, page: int | None = None) -> None:
        """page: of TIFF files, from 1."""
        self._networks, self._scale, self._page = networks, scale, page
        self.details: list[Figures] = []
        """Of each field so far: um_per_px, as given or found; boxed and counted where it has boxes."""
        self.warnings: list[str] = []
        """Of the fields so far."""

    def __call__(self, field: Field) -> Mask:
        um_per_px = self._scale.of(field.path, field.image, self._page)
        picture = ArrayReader(field.image, str(field.path))
        self.warnings += image_warnings(picture, self._networks)
        found = predict_field(self._networks, picture, um_per_px, probability=True, evidence=True)
        self.details.append({"um_per_px": um_per_px})
        if field.boxes is not None:
            self.details[-1] |= count_boxed(field, cells_of(found))
        assert found.probability is not None
        cells: Mask = to_native(1 - found.probability[0], field.cells.shape) >= 0.5
        return cells


def _on_fields(
    network: NetworkMethod, folder: Path, pictures: Path | None, page: int | None, *, progress: bool
) -> Figures:
    def drawn(field: Field) -> Mask:
        found = network(field)
        if pictures:
            save_errors(field, found, pictures)
        return found

    if pictures:
        check_folder(pictures)
        pictures.mkdir(parents=True, exist_ok=True)
    methods: dict[str, Method] = {"network": drawn, "otsu": otsu_field}
    measured = measure_fields(read_fields(folder, page), methods, progress=progress)
    figures, baseline = measured["network"], measured["otsu"]
    for image, details, other in zip(figures["images"], network.details, baseline["images"], strict=True):
        image |= details | {"baseline_dice": other["foreground_dice"]}
    return figures | {"baseline": baseline, "warnings": network.warnings}
