"""Cells counted in images of any size: tables, files for other tools, and what a laboratory reports of all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from PIL import Image

from segtrain.counting.cell_files import CocoFile, OutlinedField
from segtrain.counting.cell_measures import FieldCells, MeasuredCell, count_field
from segtrain.counting.count_files import planned_files, stem_of
from segtrain.counting.count_tables import cell_row, made_with, summary_row
from segtrain.counting.counted_picture import draw_cells
from segtrain.counting.field_quality import field_warnings
from segtrain.counting.pooled_fields import FieldNames, groups_of, numbered
from segtrain.counting.summary import SUSPECT, CountSummary, is_suspect, pooled_table, summarise, summary_table
from segtrain.inference.field_prediction import (
    JudgedImage,
    image_warnings,
    judge_images,
    open_images,
    scale_notes,
)
from segtrain.inference.image_reader import ImageReader
from segtrain.inference.prediction_files import check_folder
from segtrain.inference.ready_networks import Networks, load_networks
from segtrain.inference.tiles import RescaledImage
from segtrain.pretrained import or_shipped
from smearsynth.base.errors import UserError, printable
from smearsynth.base.images import MAX_PIXELS, size_text
from smearsynth.base.progress import ProgressBar
from smearsynth.fields.scale import AUTO, Scale

Kept = TypeVar("Kept")
_TOLD = 10
"""Warnings of single images that are told; the summary has all."""


@dataclass(frozen=True, kw_only=True)
class GroupCount:
    """A patient, a slide or whatever images are told together by. of: what it is. scales: um/px of its images."""

    of: str
    name: str
    scales: tuple[float, ...]
    summary: CountSummary


@dataclass(frozen=True, kw_only=True)
class CountResult:
    """images: name, um_per_px, and summary of each, which has the warnings of the image too. groups: patients and
    slides, where they are known. together: of all images, as if they were one. made_with: by which network, operating
    point and version. warnings: sentences that the user should read."""

    images: tuple[tuple[str, float, CountSummary], ...]
    groups: tuple[GroupCount, ...] = ()
    together: CountSummary
    made_with: Mapping[str, Any]
    warnings: tuple[str, ...]

    @property
    def figures(self) -> dict[str, Any]:
        """As plain data: images (name, um_per_px, and what `CountSummary` has), groups (of, name, images, and the
        same), all (the same of all together) and made_with."""
        images = [{"name": name, "um_per_px": um_per_px, **asdict(s)} for name, um_per_px, s in self.images]
        groups = [{"of": g.of, "name": g.name, "images": len(g.scales), **asdict(g.summary)} for g in self.groups]
        return {"images": images, "groups": groups, "all": asdict(self.together), "made_with": dict(self.made_with)}

    def __str__(self) -> str:
        text = summary_table({name: summary for name, _, summary in self.images}, self.together)
        groups = [(g.of, g.name, len(g.scales), g.summary) for g in self.groups]
        return f"{text}\n\n{pooled_table(groups)}" if groups else text

    def summary_rows(self) -> list[dict[str, Any]]:
        """Of all, each group and each image."""
        scales = [um_per_px for _, um_per_px, _ in self.images]
        rows = [("all", "all", scales, self.together)]
        rows += [(group.of, group.name, list(group.scales), group.summary) for group in self.groups]
        rows += [("image", name, [um_per_px], summary) for name, um_per_px, summary in self.images]
        return [summary_row(*row, self.made_with) for row in rows]


def count(
    run: str | Path | None,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    formats: str | Sequence[str] = (),
    pictures: str | Path | None = None,
    um_per_px: str | float = AUTO,
    group: str | None = None,
    group_column: str | Sequence[str] = (),
    labels: str | Path | None = None,
    white_cells: int | None = None,
    key: str | Path | None = None,
    bom: bool = False,
    others: Sequence[str | Path] = (),
    tta: bool = False,
    which: Literal["best", "last"] = "best",
    batch: int | None = None,
    cells: str | Path | None = None,
    prevalence: float | None = None,
    device: str = "auto",
    page: int | None = None,
    region: str | Sequence[int] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> CountResult:
    """Writes the cells of all images to `out`: FILE.csv with a line for each and FILE_summary.csv with one for each
    image, FILE.xlsx with both, of an only image FILE.zip (ImageJ) or FILE.geojson (QuPath); or with `formats`, of csv,
    xlsx, roi, geojson, coco and instances, a folder of files.

    run: folder of a training, None for the networks that come with the package. cells: the run of a network that sees
    each cell which those of `run` and `others` find on a crop of its own, and names it together with them. prevalence:
    share of the red cells that are thought to be infected, above 0 and below 1: their odds are moved to where fewest
    cells would be named wrongly then, so that where few are infected fewer of them are found; read the corrected
    figure. images: one or several files, or folders of them. pictures: folder for one of each image, NAME_cells.png,
    with the cells outlined and numbered. group: "folder", or a pattern in the path, such as (?P<patient>P[0-9]+); or
    group_column, columns of the table `labels`: which images are one patient's or slide's, as `pooled_fields.groups_of`
    says. white_cells: the differential is of the first so many. key: a CSV file in another folder, which tells what
    numbers stand for the names of images and groups in all that is written. bom: CSV begins with the mark by which
    Excel knows UTF-8. overwrite: replace files that are there. region: "x,y,width,height" of an only image, px; tables
    and outlines are in pixels of the full image. um_per_px, tta, which, batch, device, page, progress: as for
    `segtrain.predict`. Raises UserError, before anything is written.

    >>> counted = segtrain.count("runs/first", ["field.png"], out="cells.csv", um_per_px=0.2, progress=False)
    >>> [name for name, um_per_px, summary in counted.images]
    ['field.png']
    """
    run, cells = or_shipped(run, cells)
    networks = load_networks(
        [run, *others], which=which, tta=tta, batch=batch, device=device, cells=cells, prevalence=prevalence
    )
    return count_with(
        networks,
        images,
        out=out,
        formats=formats,
        pictures=pictures,
        um_per_px=um_per_px,
        group=group,
        group_column=group_column,
        labels=labels,
        white_cells=white_cells,
        key=key,
        bom=bom,
        page=page,
        region=region,
        overwrite=overwrite,
        progress=progress,
    )


def count_with(
    networks: Networks,
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    formats: str | Sequence[str] = (),
    pictures: str | Path | None = None,
    um_per_px: str | float = AUTO,
    group: str | None = None,
    group_column: str | Sequence[str] = (),
    labels: str | Path | None = None,
    white_cells: int | None = None,
    key: str | Path | None = None,
    bom: bool = False,
    page: int | None = None,
    region: str | Sequence[int] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> CountResult:
    """As `count`, by networks that are loaded."""
    scale = Scale(str(um_per_px))
    readers, left_out = open_images(images, page, region)
    paths = [Path(image.name) for image in readers]
    columns = (group_column,) if isinstance(group_column, str) else group_column
    groups = groups_of(paths, group=group, group_column=columns, labels=labels)
    names = FieldNames(images=names_of(paths), groups=groups)
    names = names if key is None else numbered(names)
    files = planned_files(
        Path(out), names, formats=formats, bom=bom, key=None if key is None else Path(key), overwrite=overwrite
    )
    drawn = _targets(Path(pictures), names) if pictures else {}
    origin, coco = made_with(networks), CocoFile()

    def keep(one: JudgedImage, found: FieldCells) -> Sequence[MeasuredCell]:
        """The cells alone are kept: maps of all images at once would fill the memory."""
        if (target := drawn.get(one.path)) is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            pixels = draw_cells(one.image.rows(0, one.image.shape[0]), one.um_per_px, found, networks.classes)
            Image.fromarray(pixels).save(target)
        if files.outlined:
            cells = OutlinedField(
                name=names.images[one.path],
                found=found,
                um_per_px=one.um_per_px,
                corner=one.corner,
                classes=networks.classes,
                made_with={**origin, "um_per_px": one.um_per_px},
            )
            files.write_image(one.path, cells)
            if files.has_coco:
                coco.add(cells)
        return found.cells

    given, cells, warnings = count_images(networks, readers, scale, keep, progress=progress)
    result = count_result(networks, scale, names, given, cells, warnings, left_out, white_cells)
    rows = (
        cell_row(names.images[one.path], cell.moved(one.corner), one.um_per_px, origin, names.of(one.path))
        for one, of_image in zip(given, cells, strict=True)
        for cell in of_image
    )
    files.write_tables(rows, result.summary_rows(), origin, coco, names)
    return result


def count_images(
    networks: Networks,
    images: Sequence[ImageReader],
    scale: Scale,
    keep: Callable[[JudgedImage, FieldCells], Kept],
    *,
    progress: bool,
) -> tuple[list[JudgedImage], list[Kept], list[tuple[str, ...]]]:
    """Finds the cells of images, one after the other, and gives of each what `keep` makes of them, and what of the
    image is to be minded, as sentences. UserError, before the first is counted, where one shows no scale or is too
    large."""
    given, kept = judge_images(images, scale, networks, progress=progress), []
    warnings = list[tuple[str, ...]]()
    check_sizes(given, networks)
    tiles = sum(one.tiles for one in given)
    with ProgressBar(what="count", unit="tiles", total=tiles, shown=progress) as bar:
        for one in given:
            cells, unfit = _count_one(networks, one, keep, bar.update)
            kept.append(cells)
            warnings.append(unfit)
            one.image.close()
    return given, kept, warnings


def _count_one(
    networks: Networks, one: JudgedImage, keep: Callable[[JudgedImage, FieldCells], Kept], on_tile: Callable[[int], Any]
) -> tuple[Kept, tuple[str, ...]]:
    """What `keep` makes of the cells of an image, and its warnings; nothing else is left of it."""
    found = count_field(networks, one.image, one.um_per_px, occupied=one.occupied, on_tile=on_tile)[0]
    kept = keep(one, found)
    pixels = RescaledImage(one.image, one.um_per_px / networks.um_per_px).rows(0, found.map.shape[0])
    of_image = image_warnings(one.image, networks, one.occupied)
    told = (text.removeprefix(f"{one.image.name} is ") for text in of_image)
    return kept, (*told, *field_warnings(pixels, networks.um_per_px, found))


def count_result(
    networks: Networks,
    scale: Scale,
    names: FieldNames,
    given: Sequence[JudgedImage],
    cells: Sequence[Sequence[MeasuredCell]],
    warnings: Sequence[tuple[str, ...]],
    left_out: Sequence[str] = (),
    white_cells: int | None = None,
) -> CountResult:
    """cells, warnings: of each image. left_out: sentences on images that are not counted."""
    of_path = {one.path: (one.um_per_px, field) for one, field in zip(given, cells, strict=True)}

    def summary(paths: Iterable[Path]) -> CountSummary:
        """Counts add, and rates and intervals are of the sums."""
        together = [cell for path in paths for cell in of_path[path][1]]
        point = networks.operating_point
        return summarise(together, keys=networks.classes.keys, point=point, white_cells=white_cells)

    single, said = [], []
    for one, of_image in zip(given, warnings, strict=True):
        name, found = names.images[one.path], summary([one.path])
        suspect = (SUSPECT,) if is_suspect(found) and len(given) > 1 else ()
        said += [f"{name}: {text}" for text in (*of_image, *suspect)]
        single.append((name, one.um_per_px, replace(found, warnings=(*of_image, *found.warnings))))
    if len(said) > _TOLD:
        said[_TOLD:] = [f"and {len(said) - _TOLD} more of single images: see the warnings in the summary"]
    return CountResult(
        images=tuple(single),
        groups=tuple(
            GroupCount(of=of, name=name, scales=tuple(of_path[p][0] for p in paths), summary=summary(paths))
            for of, name, paths in names.pooled()
        ),
        together=summary(of_path),
        made_with=made_with(networks),
        warnings=(*scale_notes(given, scale), *left_out, *said),
    )


def check_sizes(images: Sequence[JudgedImage], networks: Networks) -> None:
    """UserError for an image that is too large to be counted."""
    for given in images:
        if given.shape[0] * given.shape[1] > MAX_PIXELS:
            raise UserError(
                f"{given.path}: at {networks.um_per_px:g} um/px it is {size_text(given.shape)} px, and cells are "
                f"counted in up to {MAX_PIXELS // 1_000_000} megapixels at once; check its scale, or name a part of it",
                "region",
            )


def names_of(paths: Sequence[Path]) -> dict[Path, str]:
    """What the table calls each image: its file's name, or where two have the same, its path. UserError where an image
    is named twice."""
    files = [path.resolve() for path in paths]
    if len(set(files)) < len(files):
        twice = next(path for path, file in zip(paths, files, strict=True) if files.count(file) > 1)
        raise UserError(f"{twice} is named twice, and its cells would count twice: name it once.")
    short = len({path.name for path in paths}) == len(paths)
    return {path: printable(path.name if short else str(path)) for path in paths}


def _targets(folder: Path, names: FieldNames) -> dict[Path, Path]:
    check_folder(folder)
    targets = {path: folder / f"{stem_of(path, names)}_cells.png" for path in names.images}
    if len(set(targets.values())) < len(targets):
        raise UserError("two images have the same name, and so would their pictures: count them apart", "pictures")
    return targets
