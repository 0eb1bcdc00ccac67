"""The command that shows a person what a network sees."""

from pathlib import Path
from typing import Any

import click

from segtrain.cli.options import FOLDER


@click.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=0,
    metavar="N",
    help="Port of the page's address.  [default: one that is free]",
)
@click.option(
    "--um-per-px",
    default="auto",
    show_default=True,
    metavar="X|auto",
    help="Scale of the images, micrometres per pixel; auto: the median single red cell is 7.3 um. The page can change "
    "it.",
)
@click.option("--last", is_flag=True, help="The network of the last epoch, not of the best one.")
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
def view(run: Path, last: bool, no_browser: bool, **options: Any) -> None:
    """Open a page on which one drops an image and sees what the network of RUN finds in it.

    Overlay, cells per class, parasitaemia, differential; classes can be switched, and each cell tells its class, area
    and confidence. The page is served to this machine only, images stay on it, and nothing is kept. Ctrl-C ends it.
    Research only, not a diagnosis.

    \b
    Example:
      segtrain view runs/first
      segtrain view runs/first --um-per-px 0.1 --port 8000 --no-browser
    """
    from segtrain.view import view as serve

    def tell(url: str) -> None:
        click.echo(url)
        click.echo("Ctrl-C ends it.", err=True)

    serve(run, which="last" if last else "best", browser=not no_browser, on_ready=tell, **options)
