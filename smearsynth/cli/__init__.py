"""The command line. Each command imports what it needs when it runs, so that help answers at once."""

import click

from smearsynth.cli import making, sets
from smearsynth.commands import CONTEXT, Commands


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(package_name="smearsynth")
def main() -> None:
    """Annotated blood smears, composited from real single cells, with exact labels.

    \b
    To begin, on a fresh clone:
      smearsynth build recipes/quickstart.yaml
    """


for room in (making, sets):
    for command in vars(room).values():
        if isinstance(command, click.Command):
            main.add_command(command)
