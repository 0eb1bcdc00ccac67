"""Commands until a network is trained: `import`, `models`, `bench`, `fit`, `compare`."""

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from smearsynth.base.command_line import PATH, as_json, show
from smearsynth.base.errors import UserError

dataset_or_recipe = click.argument("dataset", metavar="[DATASET|RECIPE]", required=False, type=PATH)
config = click.option("-c", "--config", type=PATH, help="How to train, a YAML file.")
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


@click.command()
@click.argument("dataset", metavar="[DATASET|RECIPE|FIELDS]", required=False, type=PATH)
@config
@overrides
@click.option("--run", type=PATH, help="Folder of the run.  [default: runs/DATASET-MODEL]")
@click.option(
    "--from",
    "start",
    metavar="shipped|RUN",
    help="Begin with the weights of a run, or of the network that comes with segtrain, and learn on gently.",
)
@click.option("--mix", type=PATH, metavar="SET|RECIPE", help="Learn smears beside, so that nothing is forgotten.")
@click.option(
    "--classes", type=PATH, metavar="FILE.yaml", help="Of FIELDS: what annotated names stand for, `NAME: CLASS`."
)
@click.option("--um-per-px", metavar="X|FILE.csv|auto", help="Of FIELDS: their scale.  [default: auto]")
@click.option("--finder", type=PATH, metavar="RUN", help="Of FIELDS: the run that finds cells.  [default: shipped]")
@click.option("--resume", is_flag=True, help="Go on where the run was interrupted, or with more epochs.")
@click.option(
    "--folds",
    metavar="K|FILE.csv",
    help="Cross-validate: train K times, or as often as FILE divides; each fold is a run in RUN/fold-N.",
)
@click.option("--overfit", type=click.IntRange(min=1), metavar="N", help="Train and validate on N samples only.")
@click.option("--resident", is_flag=True, help="Keep the whole set in the memory of the device.")
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first.")
@as_json
def fit(
    overrides: tuple[str, ...],
    folds: str | None,
    overfit: int | None,
    resident: bool,
    compiled: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a network on DATASET, or on the `data:` of the config.

    Of a RECIPE the smears are made as they are needed, each is seen once, and none comes on the disk: as many in an
    epoch as the recipe counts, or `-s images=N` in all. `-s bank=FILE` takes the cells of an earlier build.

    A config names what differs from the defaults; -s goes before it. Ctrl-C saves and ends; --resume goes on from
    there, and from any kill; with `-s epochs=N` or `-s images=N` a finished run goes on, too, and a cosine is that of
    the longer training from there on. Under torchrun the same command trains on several devices, which share each
    batch; the two dashes keep torchrun from taking --run for its own.

    --folds divides the training and validation samples of an imported set anew, K times and never a source image, tells
    mean and deviation over the folds, and writes which sample was held out when to RUN/folds.csv. The test split stays
    untouched.

    FIELDS is a folder of real fields in which somebody has named some cells by points or boxes, as `evaluate --classes`
    takes it; 20 to 100 cells of a class are advised. They are found once, and the network that names cells learns on
    from them. A quarter of the fields is held back, and the end tells before and after on these.

    \b
    Example: the reference training, on one device and on four, ten epochs more; five folds; fields of one's own
      segtrain fit smear10 -c recipes/fit/reference.yaml --run runs/reference
      torchrun --nproc-per-node 4 -m -- segtrain fit smear10 -c recipes/fit/reference.yaml --run runs/four
      segtrain fit smear10 --run runs/reference --resume -s epochs=45
      segtrain fit red_cells -c recipes/fit/deconvnet.yaml --folds 5 --run runs/folds
      segtrain fit my_fields --from shipped --classes names.yaml --um-per-px 0.1 --mix smear10-open --run runs/mine
      segtrain count field.png --cells runs/mine --out cells.csv
    """
    from segtrain.experiments.cross_validation import cross_validate
    from segtrain.experiments.fit import fit as train_once

    given = {"overfit": overfit, "resident": resident or None, "compile": compiled or None}
    short = [f"{key}={str(value).lower()}" for key, value in given.items() if value is not None]
    if folds:
        tuning = ("start", "mix", "classes", "um_per_px", "finder")
        if asked := [name for name in tuning if options.pop(name) is not None]:
            raise UserError("belongs to a training without folds: leave one of them out", asked[0], "folds")
    run = partial(cross_validate, folds=folds) if folds else train_once
    fitted = run(options.pop("dataset"), overrides=(*overrides, *short), **options)
    # Under torchrun every process comes here, and a result is printed once.
    if os.environ.get("RANK", "0") == "0":
        show(as_json, fitted.figures, lambda: str(fitted))


@click.command()
@dataset_or_recipe
@config
@overrides
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Of which the median counts.")
@click.option(
    "--peak-tflops",
    type=click.FloatRange(min=0, min_open=True),
    help="bf16 matrix peak of the device.  [default: its data sheet's]",
)
@click.option("--onnx", is_flag=True, help="Time the forward pass by ONNX Runtime on the CPU, too.")
@as_json
def bench(as_json: bool, **options: Any) -> None:
    """Measure images per second of loader, forward pass, step and whole loop, and peak memory.

    Without DATASET: forward pass and step only, on random images. Of a RECIPE: what making its smears takes, too.

    \b
    Example:
      segtrain bench quickstart -c recipes/fit/reference.yaml
    """
    from segtrain.experiments.benchmark import bench as run
    from segtrain.experiments.benchmark import table

    figures = run(options.pop("dataset"), **options)
    show(as_json, figures, lambda: table(figures))


@click.command()
@click.option("-c", "--config", "configs", multiple=True, type=PATH, help="A config to train; may be repeated.")
@click.option(
    "--vary", multiple=True, metavar="KEY=V,V,...", help="Train each config with each of these values; may be repeated."
)
@overrides
@click.option(
    "--budget", metavar="images=N|minutes=M", help="Of each training.  [default: what each config says for itself]"
)
@click.option("--data", type=PATH, metavar="DATASET", help="For configs that name no `data:` of their own.")
@click.option(
    "--fields",
    type=PATH,
    metavar="FILE.yaml",
    help="Folders of annotated real fields to measure each network on, too; see recipes/fields/laboratories.yaml.",
)
@click.option("--out", type=PATH, default="runs/compare", show_default=True, help="Folder of runs and results.")
@split
@click.option("--resume", is_flag=True, help="Go on where it was interrupted; what is finished is not trained again.")
@as_json
def compare(configs: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Train several configs under equal budgets, measure them, and print one table.

    Beside the networks stand Otsu's threshold and the majority class. A budget is a number of training images, of which
    a config's epochs become equal shares: schedules keep their course over it, and none is cut off. Minutes become
    images by the speed of each config, measured before. A training that fails has a row that says so. OUT gets
    results.md, results.csv, curves.png with the losses of all, and a folder for each run.

    \b
    Example: two networks at equal work, and three learning rates of one
      segtrain compare -c recipes/fit/quick.yaml -c recipes/fit/best.yaml --data quickstart --budget images=2000
      segtrain compare -c recipes/fit/deconvnet.yaml --vary optimiser.lr=1e-3,1e-4,1e-5 --data small --out runs/rates
      segtrain compare -c recipes/fit/cells.yaml --vary data=grafts,no_grafts --fields recipes/fields/laboratories.yaml
    """
    from segtrain.experiments.compare import compare as run
    from smearsynth.base.errors import WorkError

    done = run(configs, **options)
    show(as_json, asdict(done), lambda: str(done).rstrip())
    if done.failed:
        raise WorkError(f"Failed: {', '.join(done.failed)}; the table says why. --resume tries again.")


@click.command()
@as_json
def models(as_json: bool) -> None:
    """List the networks: parameters, multiply-adds, study, options.

    Counted for RGB images of 224x224 px and ten classes. `smp:ARCHITECTURE/ENCODER` is a network of the library
    segmentation_models_pytorch, with the extra `smp`.

    \b
    Example: then choose one
      segtrain fit quickstart -s model.name=compact -s model.width=16
    """
    from segtrain.networks.catalogue import models as run
    from segtrain.networks.catalogue import table

    found = run()
    show(as_json, found, lambda: table(found))


@click.command("import")
@click.argument("images", type=PATH)
@click.argument("masks", type=PATH, required=False)
@click.option("--out", required=True, type=PATH, metavar="DATASET", help="Folder of the dataset.")
@click.option(
    "--palette",
    default="auto",
    metavar="binary|ids|reference|instances[:KEY]|FILE.yaml",
    help="What masks hold: two levels, ids of the ten classes, their colours, a number for each cell (all of class "
    "KEY), or what FILE says.  [default: two levels, unless masks are clearly of instances or nnU-Net's]",
)
@click.option(
    "--classes",
    type=PATH,
    metavar="FILE.yaml",
    help="Of annotations: lines `NAME: CLASS` say what their names stand for; null gives 255.",
)
@click.option(
    "--rest",
    type=click.Choice(["background", "ignore"]),
    default="background",
    show_default=True,
    help="Of annotations: what nobody outlined; ignore: 255.",
)
@click.option(
    "--cells", type=click.Choice(["white", "black"]), help="Level of cells in binary masks.  [default: by the images]"
)
@um_per_px
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
@click.option(
    "--page", type=click.IntRange(min=1), metavar="N", help="Page of TIFF images, where several could be the image."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the split.")
@click.option("--overwrite", is_flag=True, help="Replace the set that an earlier import wrote.")
@as_json
def import_(images: Path, masks: Path | None, as_json: bool, **options: Any) -> None:
    """Make a DATASET of images and of the masks or annotations that are there.

    MASKS is a folder of masks, or a file or folder of annotations with outlines (COCO, YOLO, CVAT, QuPath GeoJSON,
    ImageJ ROIs); without it, these stand in IMAGES (cellpose's `X_cp_masks.png`, folders of DSB2018). Where cells are
    told apart, the dataset has an instance map.

    A mask has the stem of its image, with or without `_mask`, `_label` and the like. Where each split has folders of
    its own, write {split} for its name in both paths. Every error is reported with its file before anything is written.
    Uncertain pixels, as at blended edges, get the label 255, which training and figures leave out. Images of several
    sizes go to a shard each; a network needs one size: --patches or --resize.

    \b
    Examples: polygons of a tool, named as FILE says; masks of instances, all of healthy red cells
      segtrain import photos annotations.json --classes names.yaml --um-per-px 0.1 --out mine
      segtrain import images masks --palette instances:healthy_rbc --um-per-px 0.1 --out mine
    \b
    Black and white masks at 0.2 um/px, in patches; colours of the ten classes; an export of smearsynth
      segtrain import my/img my/mask --out mine --to-um-per-px 0.2 --patches 224
      segtrain import img mask --out ten --palette reference --group '^(P[0-9]+)_'
      segtrain import 'png/{split}/image' 'png/{split}/label' --out ids --palette ids --um-per-px 0.2
    """
    from segtrain.importing.import_annotations import import_annotations as run

    made = run(images, masks, **options)
    for sentence in made.warnings:
        click.echo(f"Note: {sentence}.", err=True)
    show(as_json, {"out": str(made.out), **made.index}, lambda: str(made))
