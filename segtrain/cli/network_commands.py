"""Commands that use a trained network, or show one."""

from pathlib import Path
from typing import Any

import click

from segtrain.cli.training_commands import split, um_per_px
from smearsynth.base.command_line import NEW_FILE, PATH, as_json, show

network = click.argument("run", type=PATH)
run_or_not = click.argument("run", metavar="[RUN]", required=False, type=PATH)
images = click.argument("given", metavar="[RUN] IMAGE...", nargs=-1, required=True, type=PATH)
others = click.option(
    "--with", "others", multiple=True, type=PATH, metavar="RUN", help="Average with this run too; may be repeated."
)
cells = click.option(
    "--cells",
    type=PATH,
    metavar="RUN2",
    help="A second network, as of recipes/fit/cells.yaml: it sees each cell that RUN finds on a crop of its own, "
    "and names it together with RUN.",
)
prevalence = click.option(
    "--prevalence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="P",
    help="Share of the red cells that are thought to be infected, such as 0.01: infected is called what makes fewest "
    "wrong names then, so of few infected cells fewer are found; read the corrected figure.  [default: none, the "
    "operating point as it was chosen]",
)
page = click.option(
    "--page", type=click.IntRange(min=1), metavar="N", help="Page of TIFF files, where several could be the image."
)
region = click.option(
    "--region", metavar="X,Y,W,H", help="Take this part of an image or slide only, in pixels of the full one."
)
which = click.option(
    "--last", "which", flag_value="last", default="best", help="The network of the last epoch, not of the best one."
)


def run_and_rest(given: tuple[Path, ...]) -> tuple[Path | None, tuple[Path, ...]]:
    """The first is a run where a network can be read there, or nothing is there that could be an image; else none is
    named, and the package's own is meant."""
    from segtrain.training.run_folder import is_run

    first, rest = given[0], given[1:]
    return (first, rest) if is_run(first) or not (first.suffix or first.exists()) else (None, given)


@click.command()
@images
@click.option("--out", required=True, type=PATH, metavar="DIR", help="Folder of the predictions.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="F,...",
    help="Files of single cells too: roi (ImageJ), geojson (QuPath), coco, instances (TIFF).",
)
@um_per_px
@others
@cells
@prevalence
@click.option("--tta", is_flag=True, help="Average over the eight views of a tile, turned and mirrored.")
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
@page
@region
@which
@as_json
def predict(given: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Predict the cells in images of any size, by the network of RUN or by that which comes with segtrain.

    IMAGE is a file (PNG, JPEG, TIFF, BMP and others, 8 or 16 bit, grey or colour) or a folder of them. Each is brought
    to the scale that the network was trained at, predicted in overlapping tiles, and brought back. Of NAME.png there
    come into DIR: NAME_label.png with the ids of the classes, 255 where a cell is unsure, NAME_colour.png with their
    colours, NAME_overlay.png to look at, and with --probability NAME_probability.npy, half floats (height, width,
    classes) at the scale of training. TIFF files over 64 megapixels, and slides (SVS, NDPI, SCN, MRXS and others, with
    the extra `slides`), are read in parts, at the level of a pyramid that fits, and glass is skipped, so that memory
    stays flat; of these, ids and colours are one tiled TIFF pyramid with a palette, NAME_label.tif. A scale that the
    file states goes before `auto`.

    \b
    Example: one field; a part of a slide; a folder, with an ensemble and test-time augmentation
      segtrain predict field.png --out predicted
      segtrain predict slide.svs --region 12000,8000,6000,6000 --out predicted
      segtrain predict runs/a my_fields --with runs/b --tta --um-per-px 0.067 --out predicted
    """
    from segtrain.counting.predict import predict as run_all

    done = run_all(*run_and_rest(given), **options)
    for sentence in done.warnings:
        click.echo(f"Note: {sentence}.", err=True)
    show(as_json, {"device": done.device, "images": done.images}, lambda: str(done))


@click.command()
@network
@click.option(
    "--format",
    required=True,
    type=click.Choice(["onnx", "torch-export", "safetensors"]),
    help="ONNX file, torch.export file, or weights with config and card.",
)
@click.option("--out", type=PATH, metavar="DIR", help="Folder of the files.  [default: RUN, or RUN/safetensors]")
@click.option("--half", is_flag=True, help="Safetensors in half precision.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@which
@as_json
def export(run: Path, as_json: bool, **options: Any) -> None:
    """Write the network of RUN for those who have no segtrain.

    onnx and torch-export take RGB bytes (batch, 3, height, width) of any batch, with sides that are multiples of 32,
    and give probabilities (batch, classes, height, width). Classes, scale and the rest are in the file's metadata.

    \b
    Example: and predict without torch's own network
      segtrain export runs/first --format onnx
      segtrain predict runs/first field.png --out predicted --runtime onnx
    """
    from segtrain.reporting.export_network import export as run_export

    done = run_export(run, **options)
    files = [str(file) for file in done.files]
    show(as_json, {"files": files, **done.description.plain()}, lambda: "\n".join(files))


@click.command()
@images
@click.option("--out", required=True, type=PATH, metavar="FILE|DIR", help="File of one format, or folder of several.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="F,...",
    help="csv, xlsx, roi (ImageJ), geojson (QuPath), coco, instances (TIFF).  [default: by the name of FILE]",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("--pictures", type=PATH, metavar="DIR", help="Folder for each image with its cells outlined.")
@click.option(
    "--group",
    metavar="REGEX|folder",
    help="Tell images together: those in one folder, or of one match in their path; (?P<patient>...) and "
    "(?P<slide>...) say what it is.",
)
@click.option(
    "--group-column", multiple=True, metavar="NAME", help="The same by a column of --labels; may be repeated."
)
@click.option(
    "--labels", type=PATH, metavar="FILE.csv", help="Table with a column `image` and those of --group-column."
)
@click.option(
    "--white-cells", type=click.IntRange(min=1), metavar="N", help="Differential of the first N.  [default: of all]"
)
@click.option(
    "--key",
    type=PATH,
    metavar="FILE.csv",
    help="Write numbers in place of the names of images and groups; FILE.csv tells which is which, in another folder.",
)
@click.option("--bom", is_flag=True, help="Begin CSV with the mark by which Excel knows UTF-8.")
@cells
@prevalence
@um_per_px
@others
@click.option("--tta", is_flag=True, help="Average over the eight views of a tile, turned and mirrored.")
@click.option("--batch", type=click.IntRange(min=1), help="Tiles at a time.  [default: 1 on a CPU, 8 on a GPU]")
@page
@region
@which
@as_json
def count(given: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Count the cells in images of any size, for research and not for a diagnosis.

    RUN is a run of `segtrain fit`; without one, the networks that come with segtrain are used (`segtrain weights`).
    IMAGE is a file or a folder of them. Touching cells are split, and each is one cell of one class, that of most of
    its evidence. Those that the bottom or the right edge of an image cuts are in the table and not in the counts; those
    at the top and the left are in both. A cell to whose class networks give less than a half, to a red cell's two
    together, is `unsure`, and in no count of a class. It reports cells by class, parasitaemia (infected of all red
    cells) with its 95 % interval, the differential of the white cells, platelets per red cell, and whether cells were
    too few for it.

    FILE.csv gets a line for each cell, and FILE_summary.csv one for all, each group and each image; FILE.xlsx has both.
    Of one image, FILE.zip opens in ImageJ and FILE.geojson in QuPath. With --format, all that is asked for comes into
    the folder DIR. Every table says by which network, operating point, um/px and version its figures were found.

    \b
    Example: a field; slides of patients for a laboratory; for correction in QuPath and ImageJ
      segtrain count field.png --out cells.csv --pictures counted
      segtrain count p1 p2 --group '(?P<patient>p[0-9]+)' --white-cells 100 --out count.xlsx
      segtrain count my_fields --um-per-px 0.067 --format geojson,roi,coco --out counted
    """
    from segtrain.counting.count import count as run_all

    done = run_all(*run_and_rest(given), **options)
    for sentence in done.warnings:
        click.echo(f"Note: {sentence}.", err=True)
    show(as_json, done.figures, lambda: str(done))


@click.command()
@network
@click.option("--data", "dataset", type=PATH, help="The dataset, where it is not where RUN was trained on it.")
@split
@click.option("--out", metavar="FILE.html", type=NEW_FILE, help="The page.  [default: RUN/report.html]")
def report(run: Path, **options: Any) -> None:
    """Write one HTML page of RUN, and its model card.

    The page needs no other file and no network: figures with intervals, confusion, calibration, best and worst samples,
    figures by background, look, density, source and visible share, curves, speed. The card, MODEL_CARD.md in RUN, is
    what goes with the weights to whoever is handed them.

    \b
    Example:
      segtrain report runs/first
      segtrain report runs/first --split val --out first.html
    """
    from segtrain.reporting.run_page import report as write

    for path in write(run, **options):
        click.echo(path)


@click.command()
@run_or_not
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
@cells
@which
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
def view(run: Path | None, no_browser: bool, **options: Any) -> None:
    """Open a page on which one drops an image and sees what the network of RUN, or of segtrain, finds in it.

    Overlay, cells per class, parasitaemia, differential; classes can be switched, and each cell tells its class, area
    and confidence. The page is served to this machine only, images stay on it, and nothing is kept. Ctrl-C ends it.
    Research only, not a diagnosis.

    \b
    Example:
      segtrain view
      segtrain view runs/first --um-per-px 0.1 --port 8000 --no-browser
    """
    from segtrain.viewing.viewer import view as serve

    def tell(url: str) -> None:
        click.echo(url)
        click.echo("Ctrl-C ends it.", err=True)

    serve(run, browser=not no_browser, on_ready=tell, **options)


@click.command()
@click.argument("given", metavar="[RUN] FIELD", nargs=-1, required=True, type=PATH)
@click.option("--out", required=True, type=PATH, metavar="DIR", help="Folder of the corrections.")
@um_per_px
@cells
@click.option("--overwrite", is_flag=True, help="Replace a correction of FIELD that is there.")
def napari(given: tuple[Path, ...], **options: Any) -> None:
    """Open a field with its cells in napari, correct them, and save them for training (extra `napari`).

    The layer `cells` says where each cell is, a number each (M: a new one); `classes` what it is, by the class of most
    of its pixels. Closing the window saves FIELD.geojson and classes.yaml into DIR, which `segtrain import` reads.

    \b
    Example: predict, correct, fine-tune
      segtrain napari photos/field.png --out corrected
      segtrain import photos corrected --classes corrected/classes.yaml --out mine --to-um-per-px 0.2 --patches 224
      segtrain fit mine --from shipped
    """
    from segtrain.viewing.napari_correction import napari as open_field

    run, fields = run_and_rest(given)
    if len(fields) != 1:
        raise click.UsageError("Name one field, and before it a run of `segtrain fit` or none.")
    for path in open_field(run, fields[0], **options):
        click.echo(path)


@click.command()
@as_json
def weights(as_json: bool) -> None:
    """List the networks that come with segtrain: what they are, what they were trained on, where their card is.

    \b
    Example: what they reach on blood of other laboratories, and what they are not for
      segtrain weights
    """
    from segtrain.reporting.export_network import weights as find

    found = find()
    lines = [
        f"{one['name']:<8}{one['model']:<12}{one['parameters']:>10,} parameters {one['bytes'] / 1e6:5.1f} MB  "
        f"{one['use']}\n        trained on the set {one['data_digest'][:12]}, weights {one['sha256'][:12]}"
        for one in found["networks"]
    ]
    show(as_json, found, lambda: "\n".join([*lines, f"card: {found['card']}"]))
