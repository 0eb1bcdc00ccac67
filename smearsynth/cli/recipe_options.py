"""Arguments and options that several commands take."""

from pathlib import Path

import click

from smearsynth.base.command_line import NewFile

NEW_FILE = NewFile()

recipe = click.argument("recipe", type=click.Path(path_type=Path))
dataset = click.argument("dataset", type=click.Path(path_type=Path))
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change one key of the recipe; may be repeated."
)
workers = click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one per core]")
bank = click.option(
    "--bank", type=click.Path(path_type=Path), help="A bank that is already made (cells.h5); no source is read."
)
bank_of_set = click.option(
    "--bank", type=click.Path(path_type=Path), help="The bank of a set that was handed on without its cells.h5."
)
