"""Commands that tell what a network, or anybody's predictions, are worth."""

from pathlib import Path
from typing import Any

import click

from segtrain.cli.network_commands import cells, network, page, run_and_rest, which
from segtrain.cli.training_commands import split
from smearsynth.base.command_line import PATH, as_json, show

target = click.argument("target", metavar="DATASET|FOLDER", type=PATH)
measured = click.argument("given", metavar="[RUN] DATASET|FOLDER", nargs=-1, required=True, type=PATH)


@click.command()
@measured
@split
@click.option("--um-per-px", metavar="X|FILE.csv|auto", help="Scale of a FOLDER's images, micrometres per pixel.")
@click.option("--pictures", type=PATH, help="Folder for a picture of the errors on each of a FOLDER's images.")
@click.option("--boundaries", is_flag=True, help="Measure outlines too, which is slow.")
@click.option("--objects", is_flag=True, help="Count the cells of a DATASET too, one by one.")
@click.option(
    "--threshold", metavar="P|val", help="Of two classes: the second from this probability on; val: chosen there."
)
@click.option(
    "--classes",
    type=PATH,
    metavar="FILE.yaml",
    help="The target's images have named cells: lines `NAME: CLASS` say what the names stand for.",
)
@cells
@page
@which
@as_json
def evaluate(given: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Measure the network of RUN, or that which comes with segtrain, on a dataset or on a folder of real images.

    A FOLDER has img/ and mask/ with a mask for each image, white where a cell is; it is measured beside Otsu's
    threshold with holes filled, and where it has boxes/ too, red cells are counted beside those that are boxed. In its
    --pictures glass taken for a cell is red, a cell taken for glass blue, and dark what is not measured:
    cells of the mask that no box is around.

    With --classes it is a folder of real images in which somebody has named cells: by points, boxes or outlines, whose
    overlap with the cells that are found is measured, too (any annotation tool: CSV, Pascal VOC, CVAT, QuPath, ImageJ,
    COCO, YOLO), or by a folder for each class. What the network calls these cells is held against it: false alarms and
    recall of infected red cells, parasitaemia, and white-cell types.

    \b
    Example:
      segtrain evaluate runs/first quickstart --objects
      segtrain evaluate runs/first my_boxes --classes names.yaml --um-per-px 0.108
      segtrain evaluate runs/first my_fields --um-per-px auto
    """
    from segtrain.evaluation.evaluate import evaluate as run
    from segtrain.evaluation.figures import table
    from segtrain.evaluation.named_cells import names_table

    known, targets = run_and_rest(given)
    if len(targets) != 1:
        raise click.UsageError("Name one dataset or folder, and before it a run of `segtrain fit` or none.")
    figures = run(known, targets[0], **options)
    for sentence in figures.get("warnings", ()):
        click.echo(f"Note: {sentence}.", err=True)
    show(as_json, figures, lambda: names_table(figures) if options["classes"] else table(figures))


@click.command()
@network
@click.argument("dataset", type=PATH)
@split
@click.option(
    "--false-alarms",
    type=click.FloatRange(0, 1000),
    default=5.0,
    show_default=True,
    help="Healthy red cells of 1,000 that may be called infected.",
)
@cells
@which
@as_json
def operate(run: Path, dataset: Path, as_json: bool, **options: Any) -> None:
    """Choose from which odds on `count` calls a red cell infected.

    A set of smears is a third infected, blood is not. On DATASET, smears of cells of a laboratory that gave none to the
    training of RUN, the lowest odds are chosen that keep to the false alarms; they are kept in RUN, or in RUN2, with
    the share of infected cells that is found there, by which `count` corrects a parasitaemia.

    \b
    Example:
      segtrain operate runs/first other_laboratory
    """
    from dataclasses import asdict

    from segtrain.evaluation.operate import operate as run_all
    from segtrain.evaluation.operate import point_text

    point = run_all(run, dataset, **options)
    show(as_json, asdict(point), lambda: point_text(point))


@click.command()
@target
@split
@as_json
def baseline(target: Path, split: str, as_json: bool) -> None:
    """Measure what needs no network: Otsu's threshold, and the most frequent class.

    \b
    Example:
      segtrain baseline quickstart
    """
    from segtrain.evaluation.baseline import baseline as run
    from segtrain.evaluation.figures import table

    found = run(target, split=split)
    show(as_json, found, lambda: "\n\n".join(f"{name}\n{table(figures)}" for name, figures in found.items()))


@click.command()
@click.argument("predictions", type=PATH)
@click.argument("dataset", type=PATH)
@split
@click.option("--name", required=True, help="Of the entry.")
@click.option("--external-data", required=True, help="Data that was used beside the training split, or `none`.")
@click.option("--pretraining", required=True, help="Of the network, such as `ImageNet`, or `none`.")
@click.option("--link", default="", help="To a paper or code.")
@click.option("--out", type=PATH, metavar="FILE.json", help="The entry, for `segtrain leaderboard`.")
@as_json
def score(predictions: Path, dataset: Path, as_json: bool, **options: Any) -> None:
    """Score anybody's predictions of a split: an entry of the leaderboard.

    PREDICTIONS is a folder with ID.png of each sample, or one that `segtrain predict` wrote, an .npz with an array
    for each, or an .npz or .h5 with `sample_id` and `label`; all hold ids of classes, or, to say which pixels are of
    one cell, 1000 x class + its number in the image. Or a .json of COCO results. What is missing, too many, of another
    size or no class is named.

    \b
    Example:
      segtrain score predicted smear10-open --name "U-Net, 2015" --external-data none --pretraining none --out unet.json
      segtrain leaderboard unet.json others/*.json --out leaderboard.html
    """
    from segtrain.evaluation.score import score as run
    from segtrain.evaluation.score import score_table

    figures = run(predictions, dataset, **options)
    show(as_json, figures, lambda: score_table(figures))


@click.command()
@click.argument("entries", type=PATH, nargs=-1, required=True, metavar="ENTRY...")
@click.option("--out", type=PATH, metavar="FILE.md|FILE.html", help="The table as a file.")
def leaderboard(entries: tuple[Path, ...], out: Path | None) -> None:
    """Put entries that `segtrain score` wrote side by side, the best mIoU first.

    \b
    Example:
      segtrain leaderboard entries/*.json --out leaderboard.html
    """
    from segtrain.experiments.leaderboard import leaderboard as run

    click.echo(run(entries, out=out).rstrip())
