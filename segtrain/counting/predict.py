"""Trained networks on images of any size: every image is judged first, and only then is the first predicted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from segtrain.counting.cell_files import IMAGE_FILES, CocoFile, OutlinedField
from segtrain.counting.cell_measures import count_field
from segtrain.counting.count import check_sizes
from segtrain.counting.count_files import COCO, checked_formats
from segtrain.counting.count_tables import made_with
from segtrain.counting.named_labels import can_be_named, named_labels
from segtrain.inference.exported_networks import load_onnx
from segtrain.inference.field_prediction import (
    JudgedImage,
    NativeLabels,
    image_warnings,
    judge_images,
    open_images,
    scale_notes,
)
from segtrain.inference.prediction_files import (
    check_new,
    new_files,
    overlay_factor,
    targets,
    write_labels,
    write_prediction,
    write_probability,
)
from segtrain.inference.ready_networks import Networks, load_networks
from segtrain.inference.tiles import RescaledImage, predict_bands
from segtrain.pretrained import or_shipped
from smearsynth.base.errors import UserError, printable
from smearsynth.base.images import size_text
from smearsynth.base.progress import ProgressBar
from smearsynth.fields.scale import AUTO, Scale
from smearsynth.taxonomy import IGNORE

Figures = dict[str, Any]
Runtime = Literal["torch", "onnx"]
Which = Literal["best", "last"]
_LEAST = 0.001
"""Share of an image that a class must have to be named in the table."""


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """What was written. images: one mapping each of name, width, height, um_per_px, pixels (by class and of `UNSURE`,
    at the image's size) and files. warnings: sentences that the user should read."""

    images: tuple[Figures, ...]
    device: str
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        width = max(len("image"), *(len(image["name"]) for image in self.images)) + 2
        lines = [f"{'image'.ljust(width)}{'size':>13}{'um/px':>9}  cells"]
        for image in self.images:
            lines.append(f"{image['name'].ljust(width)}{image['size']:>13}{image['um_per_px']:>9.4f}  {_cells(image)}")
        return "\n".join(lines)


def predict(
    run: str | Path | None,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    formats: str | Sequence[str] = (),
    um_per_px: str | float = AUTO,
    others: Sequence[str | Path] = (),
    cells: str | Path | None = None,
    prevalence: float | None = None,
    tta: bool = False,
    probability: bool = False,
    overwrite: bool = False,
    runtime: Runtime = "torch",
    which: Which = "best",
    batch: int | None = None,
    device: str = "auto",
    page: int | None = None,
    region: str | Sequence[int] | None = None,
    progress: bool = True,
) -> PredictResult:
    """Writes the files of `inference.prediction_files` for each image into the folder `out`.

    run: folder of a training, None for the network that comes with the package; others: of more, with which its
    probabilities are averaged; cells: of a network that names each cell which they find; prevalence: as for
    `segtrain.count`. Where networks name whole cells, a label is its cell's name, as `count` gives it, or 255 where
    that is unsure, in images of up to 64 megapixels at the networks' scale, and else the likeliest class of its pixel.
    images: one or several files, or folders of them. um_per_px: their scale, a number, a table's path, or "auto".
    formats: files of single cells beside the labels, of roi, geojson, coco and instances, as `segtrain.count` writes
    them. tta: average over the eight views of a tile, turned and mirrored, too. probability: keep those, too.
    overwrite: replace files that are there. runtime: what computes; "onnx" takes what `segtrain export` wrote. batch:
    tiles at a time, None is what suits the device. which: the network of the best epoch or of the last. device: "auto",
    "cpu", "cuda" or "cuda:1". page: of TIFF files with several, from 1. region: "x,y,width,height" of an only image,
    px; the maps are of that part, outlines in pixels of the full image. progress: bars on stderr, or lines in a log.
    Raises UserError, before anything is written where a header, a scale or an option is wrong; where an image turns out
    to be damaged further down, the files of those before it stay.

    >>> done = segtrain.predict("runs/first", ["field.png"], out="predicted", um_per_px=0.2, progress=False)
    >>> [pathlib.Path(file).name for file in done.images[0]["files"]]
    ['field_label.png', 'field_colour.png', 'field_overlay.png']
    """
    scale, folder = Scale(str(um_per_px)), Path(out)
    readers, left_out = open_images(images, page, region)
    asked = checked_formats(formats, (*IMAGE_FILES, COCO))
    wanted = [targets(folder, image, probability=probability) for image in readers]
    of_cells = [
        {name: folder / f"{Path(r.name).stem}{IMAGE_FILES[name][0]}" for name in asked if name in IMAGE_FILES}
        for r in readers
    ]
    files = [file for of_image in (*wanted, *of_cells) for file in of_image.values()]
    together = [folder / "coco.json"] * (COCO in asked)
    check_new([*files, *together], overwrite=overwrite)
    # An image that is written over might not have been read before.
    if lost := {Path(image.name).resolve() for image in readers} & {file.resolve() for file in files}:
        raise UserError(f"{min(lost)} is one of the images, and would be written over: name another folder", "out")
    known = run is not None
    run, cells = or_shipped(run, cells)
    if runtime == "torch":
        networks = load_networks(
            [run, *others], which=which, tta=tta, batch=batch, device=device, cells=cells, prevalence=prevalence
        )
    elif which == "last":
        raise UserError(
            "the last network runs by torch only: export it, and predict with what that wrote", "which", "runtime"
        )
    elif (cells is not None and known) or prevalence is not None:
        raise UserError("names of cells come by torch only: leave it out", "cells", "prevalence", "runtime")
    else:
        networks = load_onnx([run, *others], tta=tta, batch=batch)
    judged = judge_images(readers, scale, networks, progress=progress)
    if asked:
        check_sizes(judged, networks)
    named = [can_be_named(networks, one.shape) for one in judged]
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(one.tiles for one in judged)
    done, coco = list[Figures](), CocoFile()
    with ProgressBar(what="predict", unit="tiles", total=total, shown=progress) as bar:
        for one, by_cell, files_of_image, cell_files in zip(judged, named, wanted, of_cells, strict=True):
            take = coco if COCO in asked else None
            done.append(_predict(networks, one, files_of_image, bar, cell_files, take, named=by_cell))
    with new_files(together) as opened:
        for file in opened:
            coco.write(file)
    warnings = (
        *left_out,
        *scale_notes(judged, scale),
        *_warnings(done),
        *(text for image in done for text in image.pop("warnings")),
    )
    return PredictResult(images=tuple(done), device=networks.device, warnings=warnings)


def _predict(
    networks: Networks,
    judged: JudgedImage,
    files: dict[str, Path],
    bar: ProgressBar,
    of_cells: dict[str, Path],
    coco: CocoFile | None,
    *,
    named: bool,
) -> Figures:
    """of_cells: files of single cells, by format. coco: takes them too. named: whether labels are the names of
    cells."""
    image, classes, um_per_px = judged.image, networks.classes, judged.um_per_px
    with new_files([*files.values(), *of_cells.values()]) as opened:
        by_name = dict(zip([*files, *of_cells], opened, strict=True))
        if named or of_cells or coco is not None:
            kept, native = "probability" in files, NativeLabels(judged.shape, image.shape)
            found, field = count_field(
                networks,
                image,
                um_per_px,
                probability=kept,
                occupied=judged.occupied,
                on_tile=bar.update,
                on_band=None if named else native.collect,
            )
            blocks = named_labels(found, classes.keys) if named else native.blocks
            pixels = write_labels(by_name, image, blocks, classes)
            if field.probability is not None:
                write_probability(by_name["probability"], field.probability)
            origin = {**made_with(networks), "um_per_px": um_per_px}
            name = printable(Path(image.name).name)
            cells = OutlinedField(
                name=name, found=found, um_per_px=um_per_px, corner=judged.corner, classes=classes, made_with=origin
            )
            for kind in of_cells:
                IMAGE_FILES[kind][1](by_name[kind], cells)
            if coco is not None:
                coco.add(cells)
        else:
            scaled = RescaledImage(image, um_per_px / networks.um_per_px)
            bands = predict_bands(networks, scaled, bar.update, judged.occupied)
            pixels = write_prediction(by_name, image, bands, scaled.shape, classes)
    warnings = image_warnings(image, networks, judged.occupied)
    image.close()
    return {
        "name": printable(Path(image.name).name),
        "size": size_text(image.shape),
        "width": image.shape[1],
        "height": image.shape[0],
        "um_per_px": judged.um_per_px,
        "overlay_factor": overlay_factor(image.shape),
        "pixels": {classes.name_of(n): int(pixels[n]) for n in (*classes.ids, IGNORE)},
        "files": [str(file) for file in (*files.values(), *of_cells.values())],
        "warnings": warnings,
    }


def _warnings(done: list[Figures]) -> list[str]:
    return [
        f"the overlay of {image['name']} is {1 / image['overlay_factor']:.1f} times smaller than it"
        for image in done
        if image["overlay_factor"] < 1
    ]


def _cells(image: Figures) -> str:
    """The share of each class but the first, which is glass, where it is a tenth of a per cent; the largest first."""
    pixels = image["pixels"]
    total = sum(pixels.values())
    shares = {key: count / total for key, count in list(pixels.items())[1:] if count >= _LEAST * total}
    ranked = sorted(shares, key=lambda key: -shares[key])
    return ", ".join(f"{key} {shares[key]:.1%}" for key in ranked) or "none"
