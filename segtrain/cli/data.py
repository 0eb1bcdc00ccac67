"""The command that makes a dataset of somebody's images and masks."""

from pathlib import Path
from typing import Any

import click

from segtrain.cli.options import FOLDER
from smearsynth.commands import as_json, show


@click.command("import")
@click.argument("images", type=FOLDER)
@click.argument("masks", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, metavar="DATASET", help="Folder of the dataset.")
@click.option(
    "--palette",
    default="binary",
    show_default=True,
    metavar="binary|ids|reference|FILE.yaml",
    help="What masks hold: two levels, ids of the ten classes, their colours, or what FILE says.",
)
@click.option(
    "--cells", type=click.Choice(["white", "black"]), help="Level of cells in binary masks.  [default: by the images]"
)
@click.option(
    "--um-per-px",
    default="auto",
    show_default=True,
    metavar="X|FILE.csv|auto",
    help="Scale of the images, micrometres per pixel; auto: the median single red cell is 7.3 um.",
)
@click.option("--to-um-per-px", type=float, metavar="X", help="Bring images and masks to this scale; smears have 0.2.")
@click.option("--resize", metavar="N|WxH", help="Bring images and masks to this size instead, px.")
@click.option(
    "--patches",
    metavar="SIZE[,OVERLAP|N]",
    help="Cut patches, after the split: as few as cover an image with that overlap, 0 to under 1, or N of each image.",
)
@click.option(
    "--split",
    metavar="SHARES|FILE.csv|folders",
    help="By shares, by a table `image,split`, or by the folders train, val and test.  [default: the folders, if all "
    "images lie in such, else train=.8,val=.1,test=.1]",
)
@click.option(
    "--group",
    metavar="REGEX|FILE.csv",
    help="What no split divides, such as a patient: a part of the image's path, or a table `image,group`.  [default: "
    "the image]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the split.")
@click.option("--overwrite", is_flag=True, help="Replace the set that an earlier import wrote.")
@as_json
def import_(images: Path, masks: Path, as_json: bool, **options: Any) -> None:
    """Make a DATASET of images and masks that are there.

    A mask has the stem of its image, with or without `_mask`, `_label` and the like. Where each split has folders of
    its own, write {split} for its name in both paths. Every fault is told with its file before anything is written.
    Uncertain pixels, as at blended edges, get the label 255, which training and figures leave out. Images of several
    sizes go to a shard each; a network needs one size: --patches or --resize.

    \b
    Examples: black and white masks at 0.2 um/px, in patches; colours of the ten classes; an export of smearsynth
      segtrain import my/img my/mask --out mine --to-um-per-px 0.2 --patches 224
      segtrain import img mask --out ten --palette reference --group '^(P[0-9]+)_'
      segtrain import 'png/{split}/image' 'png/{split}/label' --out ids --palette ids --um-per-px 0.2
    """
    from segtrain.import_pairs import import_pairs as run

    made = run(images, masks, **options)
    for sentence in made.remarks:
        click.echo(f"Note: {sentence}.", err=True)
    show(as_json, {"out": str(made.out), **made.index}, lambda: str(made))
