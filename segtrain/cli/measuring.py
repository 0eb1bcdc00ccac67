"""Commands that tell what a network, or none, is worth."""

from pathlib import Path
from typing import Any

import click

from segtrain.cli.options import FOLDER, split, target
from smearsynth.commands import NewFile, as_json, show


@click.command()
@click.argument("run", type=FOLDER)
@target
@split
@click.option("--um-per-px", metavar="X|FILE.csv|auto", help="Scale of a FOLDER's images, micrometres per pixel.")
@click.option("--pictures", type=FOLDER, help="Folder for a picture of the errors on each of a FOLDER's images.")
@click.option("--boundaries", is_flag=True, help="Measure outlines too, which is slow.")
@click.option("--objects", is_flag=True, help="Count the cells of a DATASET too, one by one.")
@click.option(
    "--threshold", metavar="P|val", help="Of two classes: the second from this probability on; val: chosen there."
)
@click.option("--last", is_flag=True, help="The network of the last epoch, not of the best one.")
@as_json
def evaluate(last: bool, as_json: bool, **options: Any) -> None:
    """Measure the network of RUN on a dataset, or on a folder of real images.

    A FOLDER has img/ and mask/ with a mask for each image, white where a cell is; it is measured beside Otsu's
    threshold with holes filled, and where it has boxes/ too, red cells are counted beside those that are boxed. In its
    --pictures glass taken for a cell is red, a cell taken for glass blue, and dark what is not measured:
    cells of the mask that no box is around.

    \b
    Example:
      segtrain evaluate runs/first quickstart --objects
      segtrain evaluate runs/first my_fields --um-per-px auto
    """
    from segtrain.evaluate import evaluate as run
    from segtrain.evaluation.figures import table

    figures = run(options.pop("run"), options.pop("target"), which="last" if last else "best", **options)
    show(as_json, figures, lambda: table(figures))


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
    from segtrain.baseline import baseline as run
    from segtrain.evaluation.figures import table

    found = run(target, split=split)
    show(as_json, found, lambda: "\n\n".join(f"{name}\n{table(figures)}" for name, figures in found.items()))


@click.command()
@click.argument("run", type=FOLDER)
@click.option("--data", "dataset", type=FOLDER, help="The dataset, where it is not where RUN was trained on it.")
@split
@click.option("--out", metavar="FILE.html", type=NewFile(), help="The page.  [default: RUN/report.html]")
def report(run: Path, **options: Any) -> None:
    """Write one HTML page of RUN, and its model card.

    The page needs no other file and no network: figures with intervals, confusion, calibration, best and worst samples,
    figures by background, look, density, source and visible share, curves, speed. The card, MODEL_CARD.md in RUN, is
    what goes with the weights to whoever is handed them.

    \b
    Example:
      segtrain report runs/first
      segtrain report runs/first --split val --out first.html
    """
    from segtrain.report import write_report

    for path in write_report(run, **options):
        click.echo(path)
