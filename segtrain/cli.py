"""The command line. Each command imports what it needs when it runs, so that help answers at once."""

import os
from pathlib import Path
from typing import Any

import click

from smearsynth.commands import CONTEXT, Commands, as_json, show

FOLDER = click.Path(path_type=Path)

optional_dataset = click.argument("dataset", required=False, type=FOLDER)
target = click.argument("target", metavar="DATASET|FOLDER", type=FOLDER)
config = click.option("-c", "--config", type=FOLDER, help="How to train, a YAML file.")
overrides = click.option(
    "-s", "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key; may be repeated."
)
split = click.option("--split", default="test", show_default=True, help="Of a DATASET: train, val or test.")


class TrainingCommands(Commands):
    """Tells a full memory, too, from a defect of the program."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (MemoryError, RuntimeError) as error:
            # torch has a class of its own for a full GPU, and for a full host only these words.
            full = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
            if not full and "can't allocate memory" not in str(error):
                raise
            click.echo(
                "The work failed: the memory is full; set a smaller `batch` or `model.width`, or cut large images into "
                "fields.",
                err=True,
            )
            ctx.exit(1)


@click.group(cls=TrainingCommands, context_settings=CONTEXT)
@click.version_option(package_name="smearsynth")
def main() -> None:
    """Trains and measures segmentation networks on annotated blood smears.

    \b
    To begin, with a dataset that smearsynth has built:
      segtrain fit quickstart -c recipes/fit/quick.yaml
      segtrain evaluate runs/quickstart-unet_half quickstart
    """


@main.command()
@optional_dataset
@config
@overrides
@click.option("--run", type=FOLDER, help="Folder of the run.  [default: runs/DATASET-MODEL]")
@click.option("--resume", is_flag=True, help="Go on where the run was interrupted.")
@click.option("--overfit", type=click.IntRange(min=1), metavar="N", help="Train and validate on N samples only.")
@click.option("--resident", is_flag=True, help="Keep the whole set in the memory of the device.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first.")
@as_json
def fit(
    overrides: tuple[str, ...], overfit: int | None, resident: bool, compiled: bool, as_json: bool, **options: Any
) -> None:
    """Train a network on DATASET, or on the `data:` of the config.

    A config names what differs from the defaults; -s goes before it. Ctrl-C saves and ends; --resume goes on from
    there, and from any kill. Under torchrun the same command trains on several devices, which share each batch; the
    two dashes keep torchrun from taking --run for its own.

    \b
    Example: the reference training, on one device and on four
      segtrain fit smear10 -c recipes/fit/reference.yaml --run runs/reference
      torchrun --nproc-per-node 4 -m -- segtrain fit smear10 -c recipes/fit/reference.yaml --run runs/four
    """
    from segtrain.fit import fit as run

    given = {"overfit": overfit, "resident": resident or None, "compile": compiled or None}
    short = [f"{key}={str(value).lower()}" for key, value in given.items() if value is not None]
    fitted = run(options.pop("dataset"), overrides=(*overrides, *short), **options)
    # Under torchrun every process comes here, and a result is told once.
    if os.environ.get("RANK", "0") == "0":
        show(as_json, fitted.figures, lambda: str(fitted))


@main.command()
@click.argument("run", type=FOLDER)
@target
@split
@click.option("--um-per-px", metavar="X|FILE.csv|auto", help="Scale of a FOLDER's images, micrometres per pixel.")
@click.option("--boundaries", is_flag=True, help="Measure outlines too, which is slow.")
@click.option("--last", is_flag=True, help="The network of the last epoch, not of the best one.")
@as_json
def evaluate(last: bool, as_json: bool, **options: Any) -> None:
    """Measure the network of RUN on a dataset, or on a folder of real images.

    A FOLDER has img/ and mask/ with a mask for each image, white where a cell is; it is measured beside Otsu's
    threshold with holes filled.

    \b
    Example:
      segtrain evaluate runs/first quickstart
      segtrain evaluate runs/first my_fields --um-per-px auto
    """
    from segtrain.evaluate import evaluate as run
    from segtrain.evaluation.figures import table

    figures = run(options.pop("run"), options.pop("target"), which="last" if last else "best", **options)
    show(as_json, figures, lambda: table(figures))


@main.command()
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


@main.command()
@optional_dataset
@config
@overrides
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Of which the median counts.")
@click.option(
    "--peak-tflops",
    type=click.FloatRange(min=0, min_open=True),
    help="bf16 matrix peak of the device.  [default: its data sheet's]",
)
@as_json
def bench(as_json: bool, **options: Any) -> None:
    """Measure images per second of loader, forward pass, step and whole loop, and peak memory.

    Without DATASET: forward pass and step only, on random images.

    \b
    Example:
      segtrain bench quickstart -c recipes/fit/reference.yaml
    """
    from segtrain.bench import bench as run
    from segtrain.bench import table

    figures = run(options.pop("dataset"), **options)
    show(as_json, figures, lambda: table(figures))


@main.command()
@click.argument("run", type=FOLDER)
@click.option("--data", "dataset", type=FOLDER, help="The dataset, where it is not where RUN was trained on it.")
def report(run: Path, dataset: Path | None) -> None:
    """Draw the pictures of RUN anew: curves, confusion matrix, best and worst samples.

    \b
    Example:
      segtrain report runs/first
    """
    from segtrain.report import write_pictures

    for path in write_pictures(run, dataset=dataset):
        click.echo(path)


@main.command()
@as_json
def models(as_json: bool) -> None:
    """List the networks, their options and defaults.

    \b
    Example: then choose one
      segtrain fit quickstart -s model.name=unet_half -s model.norm=batch
    """
    from segtrain.models import MODELS, default_options

    known = {name: default_options(name) for name in sorted(MODELS)}
    show(as_json, known, lambda: "\n".join(_model_line(name, options) for name, options in known.items()))


def _model_line(name: str, options: dict[str, Any]) -> str:
    return f"{name}  {', '.join(f'{option}: {value}' for option, value in options.items())}"
