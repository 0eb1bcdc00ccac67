"""Commands that use a trained network."""

from pathlib import Path
from typing import Any

import click

from segtrain.cli.options import FOLDER, um_per_px
from smearsynth.commands import as_json, show


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=FOLDER)
@click.option("--out", required=True, type=FOLDER, metavar="DIR", help="Folder of the predictions.")
@um_per_px
@click.option(
    "--with", "others", multiple=True, type=FOLDER, metavar="RUN", help="Average with this run too; may be repeated."
)
@click.option("--tta", "symmetries", is_flag=True, help="Average over the eight views of a tile, turned and mirrored.")
@click.option("--probability", is_flag=True, help="Keep the probability of every class too.")
@click.option("--overwrite", is_flag=True, help="Replace predictions that are there.")
@click.option(
    "--runtime",
    type=click.Choice(["torch", "onnx"]),
    default="torch",
    show_default=True,
    help="What computes; onnx: the network that `segtrain export` wrote, by ONNX Runtime.",
)
@click.option("--batch", type=click.IntRange(min=1), help="Tiles at a time.  [default: 1 on a CPU, 8 on a GPU]")
@click.option("--last", is_flag=True, help="The network of the last epoch, not of the best one.")
@as_json
def predict(run: Path, images: tuple[Path, ...], last: bool, as_json: bool, **options: Any) -> None:
    """Predict the cells in images of any size.

    IMAGE is a file (PNG, JPEG, TIFF, BMP and others, 8 or 16 bit, grey or colour) or a folder of them. Each is brought
    to the scale that RUN was trained at, predicted in overlapping tiles, and brought back. Of NAME.png there come into
    DIR: NAME_label.png with the ids of the classes, NAME_colour.png with their colours, NAME_overlay.png to look at,
    and with --probability NAME_probability.npy, half floats (height, width, classes) at the scale of training. TIFF
    files over 64 megapixels are read in parts, so that memory stays flat.

    \b
    Example: one field; a folder of them, with an ensemble in all eight symmetries
      segtrain predict runs/first field.png --out predicted
      segtrain predict runs/a my_fields --with runs/b --tta --um-per-px 0.067 --out predicted
    """
    from segtrain.predict import predict as run_all

    done = run_all(run, images, which="last" if last else "best", **options)
    for sentence in done.remarks:
        click.echo(f"Note: {sentence}.", err=True)
    show(as_json, {"device": done.device, "images": done.images}, lambda: str(done))


@click.command()
@click.argument("run", type=FOLDER)
@click.option(
    "--format",
    required=True,
    type=click.Choice(["onnx", "torch-export", "safetensors"]),
    help="ONNX file, torch.export file, or weights with config and card.",
)
@click.option("--out", type=FOLDER, metavar="DIR", help="Folder of the files.  [default: RUN, or RUN/safetensors]")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--last", is_flag=True, help="The network of the last epoch, not of the best one.")
@as_json
def export(run: Path, last: bool, as_json: bool, **options: Any) -> None:
    """Write the network of RUN for those who have no segtrain.

    onnx and torch-export take RGB bytes (batch, 3, height, width) of any batch, with sides that are multiples of 32,
    and give probabilities (batch, classes, height, width). Classes, scale and the rest are in the file's metadata.

    \b
    Example: and predict without torch's own network
      segtrain export runs/first --format onnx
      segtrain predict runs/first field.png --out predicted --runtime onnx
    """
    from segtrain.export import export as run_export

    done = run_export(run, which="last" if last else "best", **options)
    files = [str(file) for file in done.files]
    show(as_json, {"files": files, **done.description.plain()}, lambda: "\n".join(files))
