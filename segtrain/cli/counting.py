"""The command that counts cells."""

from pathlib import Path
from typing import Any

import click

from segtrain.cli.options import FOLDER, um_per_px
from smearsynth.commands import NewFile, as_json, show


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=FOLDER)
@click.option("--out", required=True, type=NewFile(), metavar="FILE.csv", help="Table with a line for each cell.")
@click.option("--pictures", type=FOLDER, metavar="DIR", help="Folder for each image with its cells outlined.")
@um_per_px
@click.option(
    "--with", "others", multiple=True, type=FOLDER, metavar="RUN", help="Average with this run too; may be repeated."
)
@click.option("--tta", "symmetries", is_flag=True, help="Average over the eight views of a tile, turned and mirrored.")
@click.option("--batch", type=click.IntRange(min=1), help="Tiles at a time.  [default: 1 on a CPU, 8 on a GPU]")
@click.option("--last", is_flag=True, help="The network of the last epoch, not of the best one.")
@as_json
def count(run: Path, images: tuple[Path, ...], last: bool, as_json: bool, **options: Any) -> None:
    """Count the cells in images of any size, for research and not for a diagnosis.

    IMAGE is a file or a folder of them. Cells that touch are parted, and each is one cell of one class, that of most of
    its evidence. Those that the bottom or the right edge of an image cuts are in the table and not in the counts; those
    at the top and the left are in both. Told are cells by class, parasitaemia (infected of all red cells) with its 95 %
    interval, the differential of the white cells, and platelets per red cell; and whether cells were too few for it.

    \b
    Example:
      segtrain count runs/first field.png --out cells.csv --pictures counted
      segtrain count runs/first my_fields --um-per-px 0.067 --out cells.csv --json
    """
    from segtrain.count import count as run_all

    done = run_all(run, images, which="last" if last else "best", **options)
    for sentence in done.remarks:
        click.echo(f"Note: {sentence}.", err=True)
    show(as_json, done.figures, lambda: str(done))
