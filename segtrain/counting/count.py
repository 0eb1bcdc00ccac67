"""Cells counted in images of any size: a line for each in a CSV table, and what a laboratory reports of all of them."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Literal, TextIO, TypeVar

from PIL import Image

from segtrain.counting.cell_measures import FieldCells, MeasuredCell, count_field
from segtrain.counting.counted_picture import draw_cells
from segtrain.counting.summary import SUSPECT, CountSummary, is_suspect, summarise, summary_table
from segtrain.inference.field_prediction import (
    FOUND_BY_AUTO,
    JudgedImage,
    image_warnings,
    judge_images,
    open_images,
)
from segtrain.inference.image_reader import ImageReader
from segtrain.inference.prediction_files import check_folder, new_files
from segtrain.inference.ready_networks import Networks, load_networks
from segtrain.pretrained import or_shipped
from smearsynth.base.errors import UserError, printable
from smearsynth.base.images import IMAGE_SUFFIXES, MAX_PIXELS, size_text
from smearsynth.base.progress import ProgressBar
from smearsynth.fields.scale import AUTO, Scale

Kept = TypeVar("Kept")
COLUMNS = (
    "image",
    "cell",
    "class",
    "x",
    "y",
    "left",
    "top",
    "right",
    "bottom",
    "area_um2",
    "confidence",
    "eccentricity",
    "border",
    "counted",
)
"""image: its name, after "./" where a spreadsheet would else take it for a formula. x, y, left, top, right, bottom: px
of the image as it was given. border: edges of the image that cut the cell, "top left" for two. counted: 1, or 0 for a
cell that the bottom or the right edge cuts."""

_TABLES = ("", ".csv", ".txt")
"""Extensions of a table's name."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a spreadsheet cell that is computed instead of shown."""


_DECIMALS = {"x": 1, "y": 1, "area_um2": 2, "confidence": 3, "eccentricity": 3}
"""Of a number in the table."""


def record(image: str, cell: MeasuredCell) -> dict[str, Any]:
    """A cell of that image, by `COLUMNS`."""
    borders = " ".join(cell.borders)
    more = {"image": image, "cell": cell.number, "class": cell.kind, "border": borders, "counted": int(cell.counted)}
    return {name: more[name] if name in more else getattr(cell, name) for name in COLUMNS}


def write_cells(file: TextIO, cells: Iterable[tuple[str, MeasuredCell]]) -> None:
    """cells: each with the name of its image. file: opened with newline=""."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image, cell in cells:
        values = record(f"./{image}" if image.startswith(_FORMULA) else image, cell)
        writer.writerow(f"{v:.{_DECIMALS[name]}f}" if name in _DECIMALS else v for name, v in values.items())


@dataclass(frozen=True, kw_only=True)
class CountResult:
    """images: name, um_per_px, and summary of each. together: of all of them, as if they were one. warnings:
    sentences that the user should read."""

    images: tuple[tuple[str, float, CountSummary], ...]
    together: CountSummary
    warnings: tuple[str, ...]

    @property
    def figures(self) -> dict[str, Any]:
        """As plain data: images (name, um_per_px, and what `CountSummary` has) and all (the same of all together)."""
        images = [{"name": name, "um_per_px": um_per_px, **asdict(s)} for name, um_per_px, s in self.images]
        return {"images": images, "all": asdict(self.together)}

    def __str__(self) -> str:
        return summary_table({name: summary for name, _, summary in self.images}, self.together)


def count(
    run: str | Path | None,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    pictures: str | Path | None = None,
    um_per_px: str | float = AUTO,
    others: Sequence[str | Path] = (),
    tta: bool = False,
    which: Literal["best", "last"] = "best",
    batch: int | None = None,
    cells: str | Path | None = None,
    device: str = "auto",
    page: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> CountResult:
    """Writes the cells of all images to the CSV file `out`, with the columns `COLUMNS`.

    run: folder of a training, None for the networks that come with the package. cells: the run of a network that names
    each cell, on a crop of its own, which those of `run` and `others` find. images: one or several files, or folders of
    them. pictures: folder for one of each image, NAME_cells.png, with the cells outlined and numbered. overwrite:
    replace a table that is there. um_per_px, tta, which, batch, device, page, progress: as for `segtrain.predict`.
    Raises UserError, before anything is written.

    >>> counted = segtrain.count("runs/first", ["field.png"], out="cells.csv", um_per_px=0.2, progress=False)
    >>> [name for name, um_per_px, summary in counted.images]
    ['field.png']
    """
    run, cells = or_shipped(run, cells)
    networks = load_networks(
        [run, *others], which=which, tta=tta, batch=batch, device=device, parasite=True, cells=cells
    )
    return count_with(
        networks,
        images,
        out=out,
        pictures=pictures,
        um_per_px=um_per_px,
        page=page,
        overwrite=overwrite,
        progress=progress,
    )


def count_with(
    networks: Networks,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    pictures: str | Path | None = None,
    um_per_px: str | float = AUTO,
    page: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> CountResult:
    """Writes the cells of all images to the CSV file `out`, with the columns `COLUMNS`.

    images: one or several files, or folders of them. pictures: folder for one of each image, NAME_cells.png, with the
    cells outlined and numbered. um_per_px: of the images, a number, a table's path, or "auto". page: of TIFF files with
    several, from 1. overwrite: replace a table that is there. Raises UserError, before anything is written.
    """
    scale, out = Scale(str(um_per_px)), Path(out)
    _check_table(out, overwrite=overwrite)
    readers, left_out = open_images(images, page)
    paths = [Path(image.name) for image in readers]
    names = names_of(paths)
    drawn = _targets(Path(pictures), paths) if pictures else {}

    def draw(one: JudgedImage, found: FieldCells) -> Sequence[MeasuredCell]:
        """The cells alone are kept: maps of all images at once would fill the memory."""
        if (target := drawn.get(one.path)) is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            pixels = draw_cells(one.image.rows(0, one.image.shape[0]), one.um_per_px, found, networks.classes)
            Image.fromarray(pixels).save(target)
        return found.cells

    given, cells, warnings = count_images(networks, readers, scale, draw, progress=progress)
    with new_files([out]) as [opened], TextIOWrapper(opened, encoding="utf-8", newline="") as file:
        write_cells(file, ((names[one.path], cell) for one, field in zip(given, cells, strict=True) for cell in field))
    return count_result(networks, scale, names, given, cells, (*left_out, *warnings))


def count_images(
    networks: Networks,
    images: Sequence[ImageReader],
    scale: Scale,
    keep: Callable[[JudgedImage, FieldCells], Kept],
    *,
    progress: bool,
) -> tuple[list[JudgedImage], list[Kept], list[str]]:
    """Finds the cells of images, one after the other, and gives of each what `keep` makes of them, and what of the
    images is to be minded, as sentences. UserError, before the first is counted, where one shows no scale or is too
    large."""
    given, kept, warnings = judge_images(images, scale, networks, progress=progress), [], list[str]()
    _check_sizes(given, networks)
    tiles = sum(one.tiles for one in given)
    with ProgressBar(what="count", unit="tiles", total=tiles, shown=progress) as bar:
        for one in given:
            kept.append(keep(one, count_field(networks, one.image, one.um_per_px, on_tile=bar.update)[0]))
            warnings += image_warnings(one.image, networks)
            one.image.close()
    return given, kept, warnings


def count_result(
    networks: Networks,
    scale: Scale,
    names: Mapping[Path, str],
    given: Sequence[JudgedImage],
    cells: Sequence[Sequence[MeasuredCell]],
    warnings: Sequence[str] = (),
) -> CountResult:
    """cells: of each image. warnings: of the images."""
    pairs = zip(given, cells, strict=True)
    single = tuple((names[one.path], one.um_per_px, _summary([field], networks)) for one, field in pairs)
    suspect = [f"{name}: {SUSPECT}" for name, _, summary in single if is_suspect(summary)] if len(single) > 1 else []
    return CountResult(
        images=single,
        together=_summary(cells, networks),
        warnings=(*_scale_note(scale, given), *warnings, *suspect),
    )


def _check_table(out: Path, *, overwrite: bool) -> None:
    """UserError where a table must not get that name."""
    if out.suffix.lower() in IMAGE_SUFFIXES:
        raise UserError(f"{out} is the name of an image, and what is written is a table: name it FILE.csv", "out")
    if out.suffix.lower() not in _TABLES:
        raise UserError(f"{out} is not the name of a CSV table, and that is what is written: name it FILE.csv", "out")
    if out.exists() and not overwrite:
        raise UserError(f"{out} is there already: replace it, or name another", "overwrite", "out")


def _check_sizes(images: Sequence[JudgedImage], networks: Networks) -> None:
    """UserError for an image that is too large to be counted."""
    for given in images:
        if given.shape[0] * given.shape[1] > MAX_PIXELS:
            raise UserError(
                f"{given.path}: at {networks.um_per_px:g} um/px it is {size_text(given.shape)} px, and cells are "
                f"counted in up to {MAX_PIXELS // 1_000_000} megapixels at once; check its scale, or cut it into "
                "fields."
            )


def _summary(fields: Iterable[Sequence[MeasuredCell]], networks: Networks) -> CountSummary:
    cells = [cell for field in fields for cell in field]
    point = (networks.namer or networks).operating_point
    return summarise(cells, keys=networks.classes.keys, point=point)


def _scale_note(scale: Scale, given: Sequence[JudgedImage]) -> tuple[str, ...]:
    if scale.spec != AUTO:
        return ()
    found = sorted({f"{one.um_per_px:.4f}" for one in given})
    scales = f"{found[0]} to {found[-1]}" if len(found) > 1 else found[0]
    return (f"{FOUND_BY_AUTO}: {scales} um/px",)


def names_of(paths: Sequence[Path]) -> dict[Path, str]:
    """What the table calls each image: its file's name, or where two have the same, its path. UserError where an image
    is named twice."""
    files = [path.resolve() for path in paths]
    if len(set(files)) < len(files):
        twice = next(path for path, file in zip(paths, files, strict=True) if files.count(file) > 1)
        raise UserError(f"{twice} is named twice, and its cells would count twice: name it once.")
    short = len({path.name for path in paths}) == len(paths)
    return {path: printable(path.name if short else str(path)) for path in paths}


def _targets(folder: Path, paths: Sequence[Path]) -> dict[Path, Path]:
    check_folder(folder)
    targets = {path: folder / f"{path.stem}_cells.png" for path in paths}
    if len(set(targets.values())) < len(paths):
        raise UserError("two images have the same name, and so would their pictures: count them apart", "pictures")
    return targets
