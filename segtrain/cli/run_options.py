"""Arguments and options that several commands take."""

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)

optional_dataset = click.argument("dataset", required=False, type=FOLDER)
target = click.argument("target", metavar="DATASET|FOLDER", type=FOLDER)
config = click.option("-c", "--config", type=FOLDER, help="How to train, a YAML file.")
overrides = click.option(
    "-s", "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key; may be repeated."
)
split = click.option("--split", default="test", show_default=True, help="Of a DATASET: train, val or test.")
um_per_px = click.option(
    "--um-per-px",
    default="auto",
    show_default=True,
    metavar="X|FILE.csv|auto",
    help="Scale of the images, micrometres per pixel; auto: the median single red cell is 7.3 um.",
)
