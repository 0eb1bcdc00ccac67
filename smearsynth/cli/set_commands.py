"""Commands about a dataset that is there."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from smearsynth.base.command_line import NEW_FILE, PATH, as_json, show
from smearsynth.cli.recipe_commands import workers

dataset = click.argument("dataset", type=PATH)
bank_of_set = click.option("--bank", type=PATH, help="The bank of a set that was handed on without its cells.h5.")


@click.command()
@dataset
@workers
@as_json
def finish(dataset: Path, as_json: bool, **options: Any) -> None:
    """Write the index of DATASET, built in slices.

    Every shard is checked first; if some are missing, they are named, and how to build them.

    \b
    Example: after build --shards 0:8 and build --shards 8:16
      smearsynth finish smear10
    """
    from smearsynth.verbs.build import finish as run

    done = run(dataset, **options)
    text = f"{done.smears} smears in {done.out}\ndigest {done.digest}"
    show(as_json, asdict(done), lambda: f"{text}\n{done.claim}" if done.claim else text)


@click.command()
@dataset
@click.option("--out", type=NEW_FILE, help="HTML page to write.  [default: ./NAME-report.html]")
def report(dataset: Path, out: Path | None) -> None:
    """Show DATASET on one HTML page.

    Class balance, combinations, sizes, example smears with their labels, cells by class and source, refusals, splits,
    looks, and how to make it again. The page needs no other file and no network.

    \b
    Example:
      smearsynth report smears --out report.html
    """
    from smearsynth.verbs.stats import report as run

    click.echo(run(dataset, out=out))


@click.command()
@dataset
@as_json
def stats(dataset: Path, as_json: bool) -> None:
    """Count what DATASET holds.

    Pixels and objects per class and split, combinations, sizes, sources, refusals. All tables of objects are read, and
    for the colours some of the images.

    \b
    Example:
      smearsynth stats smears
    """
    from smearsynth.verbs.stats import stats as run

    found = run(dataset)
    show(as_json, asdict(found), lambda: str(found))


@click.command()
@dataset
@click.option("--labels", is_flag=True, help="Derive every label again from `objects` and the bank.")
@workers
@bank_of_set
@as_json
def verify(dataset: Path, as_json: bool, **options: Any) -> None:
    """Check every file and every sample of DATASET.

    Each fault is named with its file and sample. Ends with 0 if the set is whole, 1 if it has faults, 2 if there is
    no set that could be checked.

    \b
    Example: also whether each label is what its cells make it
      smearsynth verify smears --labels
    """
    from smearsynth.verbs.verify import verify as run

    found = run(dataset, **options)
    show(as_json, found.figures(), lambda: str(found))
    if not found.whole:
        click.get_current_context().exit(1)


@click.command()
@dataset
@click.argument("sample", metavar="ID")
@click.option("--out", type=NEW_FILE, help="PNG to write: the stored image, the one made again, the label.")
@bank_of_set
@as_json
def replay(dataset: Path, sample: str, as_json: bool, **options: Any) -> None:
    """Make the sample ID of DATASET again and show its plan.

    Tells whether it is as it is stored, and where each of its cells comes from.

    \b
    Example:
      smearsynth replay smears train-00000042 --out sample.png
    """
    from smearsynth.verbs.replay import replay as run

    made = run(dataset, sample, **options)
    show(as_json, asdict(made), lambda: str(made))


@click.command()
@click.argument("a", type=PATH)
@click.argument("b", type=PATH)
@as_json
def diff(a: Path, b: Path, as_json: bool) -> None:
    """Tell what differs between two datasets or two recipes.

    Of datasets: recipe, figures, and which samples. Of recipes: every key, with the defaults written out.

    \b
    Example: two sets, then two recipes
      smearsynth diff smears smears-of-last-year
      smearsynth diff recipes/smear10.yaml recipes/smear10-open.yaml
    """
    from smearsynth.verbs.diff import diff as run

    found = run(a, b)
    show(as_json, asdict(found), lambda: str(found))


@click.command()
@dataset
@click.option(
    "--format",
    type=click.Choice(["png", "coco", "webdataset", "yolo", "yolo-boxes", "nnunet", "huggingface"]),
    help="What to write.",
)
@click.option(
    "--without-labels",
    type=click.Choice(["train", "val", "test"]),
    help="Write the images of this split and nothing else, for a contest.",
)
@click.option("--out", required=True, type=PATH, help="Folder to write.")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Only this one.  [default: all]")
@click.option("--look", metavar="NAME", help="Only this look.  [default: all]")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many samples per split.")
@click.option("--overwrite", is_flag=True, help="Replace the export that is there.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads.  [default: one per core]")
@as_json
def export(dataset: Path, without_labels: str | None, as_json: bool, **options: Any) -> None:
    """Write DATASET in a form that other tools read.

    \b
    png         image, label, colour label and instances of each sample, tables of samples and objects
    coco        instances as COCO JSON with exact masks (RLE), and images
    webdataset  tar files that a training reads from front to back
    yolo        images, and a polygon for each cell (yolo-boxes: a box), with data.yaml
    nnunet      nnU-Net's raw layout: imagesTr, labelsTr, imagesTs, labelsTs, dataset.json
    huggingface the hub's layout: README.md with YAML, data/; loaded by its library `datasets` without a script

    \b
    Example: for COCO's own tools, and for nnU-Net
      smearsynth export quickstart --format coco --out quickstart-coco
      smearsynth export quickstart --format nnunet --out nnUNet_raw/Dataset101_quickstart
      smearsynth export quickstart --without-labels test --out for-entrants
    """
    from smearsynth.verbs.export import export as run

    if (options["format"] is None) == (without_labels is None) or (without_labels and options["split"]):
        raise click.UsageError("Give --format, or --without-labels and neither --format nor --split.")
    if without_labels:
        options |= {"format": "images", "split": without_labels}
    done = run(dataset, **options)
    show(as_json, asdict(done), lambda: str(done))


@click.command()
@dataset
@click.option("--against", required=True, type=PATH, metavar="FOLDER", help="Real images.")
@click.option(
    "--um-per-px",
    default="auto",
    show_default=True,
    metavar="X|FILE.csv|auto",
    help="Scale of the real images, micrometres per pixel; auto: the median single red cell is 7.3 um.",
)
@click.option("--look", metavar="NAME", help="Look to measure.  [default: the first]")
@click.option(
    "--samples", type=click.IntRange(min=1), default=200, show_default=True, help="At most so many smears, and images."
)
@click.option("--out", type=NEW_FILE, help="HTML page to write: both sets side by side, table and plots.")
@as_json
def fidelity(dataset: Path, against: Path, as_json: bool, **options: Any) -> None:
    """Measure how far the smears of DATASET are from real fields.

    FOLDER has img/ and mask/, white where a cell is, or images alone; then Otsu's threshold tells cells on both sides.
    Both sets are compared at 0.20 um/px. Yardstick: the distance between two halves of the real images.

    \b
    Example:
      smearsynth fidelity quickstart --against my_fields --out fidelity.html
    """
    from smearsynth.realism.comparison import as_text
    from smearsynth.realism.comparison import fidelity as run

    found = run(dataset, against, **options)
    show(as_json, found.figures(), lambda: as_text(found))
