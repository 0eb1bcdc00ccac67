"""The command line. Each command imports what it needs when it runs, so that help answers at once."""

from pathlib import Path
from typing import Any

import click

from smearsynth.commands import CONTEXT, Commands, as_json, show

dataset = click.argument("dataset", type=click.Path(path_type=Path))
config = click.option("-c", "--config", type=click.Path(path_type=Path), help="How to train, a YAML file.")
overrides = click.option(
    "-s",
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one key; may be repeated.",
)


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(package_name="smearsynth")
def main() -> None:
    """Trains and measures segmentation networks on annotated blood smears.

    \b
    To begin, with a dataset that smearsynth has built:
      segtrain fit quickstart -c recipes/fit/quick.yaml
    """


@main.command()
@click.argument("dataset", required=False, type=click.Path(path_type=Path))
@config
@overrides
@click.option("--run", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/DATASET-MODEL]")
@click.option("--resume", is_flag=True, help="Go on where the run was interrupted.")
@click.option("--overfit", type=click.IntRange(min=1), metavar="N", help="Train and validate on N samples only.")
@click.option("--resident", is_flag=True, help="Keep the whole set in the memory of the device.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first.")
@as_json
def fit(
    dataset: Path | None,
    overrides: tuple[str, ...],
    overfit: int | None,
    resident: bool,
    compiled: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a network on DATASET, or on the `data:` of the config.

    A config names what differs from the defaults; `-s` goes before it. Ctrl-C saves and ends; --resume goes on from
    there, and from any kill. Under torchrun the same command trains on several devices.

    \b
    Example: the reference training; then on four GPUs
      segtrain fit smear10 -c recipes/fit/reference.yaml --run runs/reference
      torchrun --nproc-per-node 4 -m segtrain fit smear10 -c recipes/fit/reference.yaml
    """
    from segtrain.fit import fit as run

    short = {"overfit": overfit, "resident": resident or None, "compile": compiled or None}
    given = [f"{key}={str(value).lower()}" for key, value in short.items() if value is not None]
    result = run(dataset, overrides=(*overrides, *given), **options)
    show(as_json, result.figures, lambda: str(result))
