"""The command line. Each command imports what it needs when it runs, so that help answers at once."""

from typing import Any

import click

from segtrain.cli import evaluation_commands, network_commands, training_commands
from smearsynth.base.command_line import CONTEXT, Commands


class TrainingCommands(Commands):
    """Tells a full memory from a defect of the program, too."""

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


for module in (training_commands, network_commands, evaluation_commands):
    for command in vars(module).values():
        if isinstance(command, click.Command):
            main.add_command(command)
