"""The command line. Each command imports what it needs when it runs, so that help answers at once."""

import click

from smearsynth.base.command_line import CONTEXT, Commands
from smearsynth.cli import recipe_commands, set_commands


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(package_name="smearsynth")
def main() -> None:
    """Annotated blood smears, composited from real single cells, with exact labels.

    \b
    To begin, on a fresh clone:
      smearsynth build recipes/quickstart.yaml
    """


for module in (recipe_commands, set_commands):
    for command in vars(module).values():
        if isinstance(command, click.Command):
            main.add_command(command)
