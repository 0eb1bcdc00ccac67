"""Points, boxes and outlines of cells in real images, as annotation tools write them, each with its image.

`annotation_files` says which forms are read; where none of these files names a cell, masks of instances are
(`instance_masks`). A row of a table whose image is not there is an error, for it was written by hand; any other
annotation without an image is counted.
"""

import posixpath
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from smearsynth.base.errors import UserError
from smearsynth.base.images import ImageHeader, read_header
from smearsynth.base.tables import locate, raise_errors
from smearsynth.fields.annotation_files import BEYOND, read_names, read_rows
from smearsynth.fields.annotation_rows import AnnotationFile, AnnotationRow
from smearsynth.fields.cell_outlines import Outline, Polygons
from smearsynth.fields.instance_masks import find_masks, read_instances


@dataclass(frozen=True)
class Annotation:
    """One cell that somebody named. file: its image, relative to the root. name: the class as it is written. x, y: of
    the box's upper left corner, or of a point; width, height: 0 for a point; all in px of the upright image, and inside
    it. um_per_px: where its table states it. where: file and line, for messages. outline: of the cell, in px, where the
    file has it; it holds a pixel at least. group: what its table says of it in the column that was asked for."""

    file: str
    name: str
    x: float
    y: float
    width: float
    height: float
    where: str
    um_per_px: float | None = None
    outline: Outline | None = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """All annotations under a folder, in the order of its files, each once. crowds: areas of many cells that nobody
    told apart, as COCO has them. file_of: the file that speaks of an image, also where it names no cell in it. masks:
    images that are masks of others, and no fields. files: those that were read, with what names their classes.
    left_out: reason -> number."""

    cells: tuple[Annotation, ...]
    crowds: tuple[Annotation, ...]
    file_of: Mapping[str, str]
    masks: frozenset[str]
    files: tuple[str, ...]
    left_out: Counter[str]

    @property
    def images(self) -> frozenset[str]:
        """Those that a file speaks of."""
        return frozenset(self.file_of)


def read_annotations(
    root: Path,
    images: Sequence[str],
    files: Sequence[str],
    *,
    excluded: Collection[str] = (),
    group_column: str | None = None,
    page: int | None = None,
) -> Annotations:
    """The annotations in `files` of cells in `images`; paths are relative to `root`, with forward slashes.

    excluded: images that are left out with what is said of them. group_column: of tables, read beside the others.
    page: of the images. Raises UserError with all errors of the files: a form that is broken, an image that a table
    names and that is not there or that has another size than is stated, a box outside its image.
    """
    masks = find_masks(images)
    fields = [image for image in images if image not in masks]
    find = _ImageFinder(fields, excluded)
    header = cache(lambda path: read_header(locate(root, path), page))
    names_of = cache(lambda path: read_names(root, path))
    found, used, file_of = dict[Annotation, Annotation](), set[str](), dict[str, str]()
    crowds, left_out, errors = list[Annotation](), Counter[str](), list[str]()
    absent = dict[str, list[str]]()
    folded = {file.casefold(): file for file in files}

    def take(row: AnnotationRow, image: str, file: str) -> None:
        _refuse_other_size(row, image, header(image))
        file_of[image] = file
        if row.name is None:
            return
        cell = _inside_image(row, image, header(image))
        if cell.outline is not None and not cell.outline.draw((header(image).height, header(image).width))[1].any():
            left_out["outline that holds no pixel"] += 1
        elif row.crowd:
            crowds.append(cell)
        elif (what := replace(cell, where="")) in found:
            left_out["annotated twice"] += 1
        else:
            found[what] = cell

    for file in files:
        by_hand = file.casefold().endswith(".csv")
        for row in read_rows(AnnotationFile(root, file, folded, names_of, errors, used, left_out, group_column)):
            try:
                image = find(row.image, file)
                if image is None and by_hand:
                    absent.setdefault(row.image, []).append(row.where)
                elif image is None:
                    left_out["label without an image"] += row.name is None
                elif image not in find.excluded:
                    take(row, image, file)
            except UserError as error:
                errors.append(f"{row.where}: {error}")
    for image, (first, *others) in absent.items():
        rows = f"remove this row and {len(others):,} more" if others else "remove the row"
        errors.append(f"{first}: no image {image} in {root}; correct the name, or {rows}")
    if not found and not errors:
        for mask, (image, one_cell) in masks.items():
            used.add(mask)
            try:
                for row in read_instances(root, mask, image, one_cell=one_cell):
                    take(row, image, mask)
            except UserError as error:
                errors.append(str(error) if str(root / mask) in str(error) else f"{root / mask}: {error}")
    raise_errors(errors)
    return Annotations(
        cells=tuple(found.values()),
        crowds=tuple(crowds),
        file_of=file_of,
        masks=frozenset(masks),
        files=tuple(file for file in [*files, *masks] if file in used),
        left_out=+left_out,
    )


class _ImageFinder:
    """The image that a file of annotations means by a name, in any case where that tells which it is.

    It is sought in the folder of the file, then in the root, and then everywhere, the more folders in common the
    better: `labels/1.txt` belongs to `images/1.jpg`, and not to `test/images/1.jpg`.
    """

    def __init__(self, images: Sequence[str], excluded: Collection[str]) -> None:
        self.excluded = frozenset(excluded)
        self._exact = frozenset(images) | self.excluded
        self._paths, self._names = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
        for path in [*images, *excluded]:
            self._paths[path.casefold()].append(path)
            name = PurePosixPath(path.casefold())
            for key in {name.name, name.stem}:
                self._names[key].append(path)

    def __call__(self, name: str, file: str) -> str | None:
        """Raises UserError where the name leads out of the folder, or fits several images; where it is "", and there is
        not one image alone."""
        if not name:
            if len(self._exact) != 1:
                raise UserError("its name says of no image that it is the one; give the file the name of its image")
            return next(iter(self._exact))
        here = _inside(posixpath.dirname(file), name)
        for path in (here, posixpath.normpath(name.replace("\\", "/"))):
            if path in self._exact:
                return path
            if fits := self._paths.get(path.casefold()):
                return self._only(fits, name)
        fits = self._names.get(posixpath.basename(here.casefold()), [])
        common = [len(posixpath.commonprefix([path.split("/"), file.split("/")])) for path in fits]
        nearest = [path for path, folders in zip(fits, common, strict=True) if folders == max(common)]
        return self._only(nearest, name) if nearest else None

    def _only(self, fits: Sequence[str], name: str) -> str:
        if len(fits) > 1:
            raise UserError(f"{name} fits {', '.join(fits)}; write the name as it is")
        return fits[0]


def _inside(folder: str, name: str) -> str:
    """Path relative to the root of a file that is named relative to a folder in it."""
    path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
    if path.split("/")[0] == ".." or posixpath.isabs(path) or PureWindowsPath(name).drive:
        raise UserError(f"{name} leads out of the source's folder; keep the field inside it")
    return path


def _refuse_other_size(row: AnnotationRow, image: str, header: ImageHeader) -> None:
    """An annotation that was made on another size lies beside its cell."""
    if row.size is not None and row.size != (header.height, header.width):
        raise UserError(
            f"it was made on {row.size[1]}x{row.size[0]} px, and {image} has {header.width}x{header.height}; give the "
            "image that was annotated, or export the annotations of this one"
        )


def _inside_image(row: AnnotationRow, image: str, header: ImageHeader) -> Annotation:
    x, y, width, height = row.values
    outline = row.outline
    if row.shares:
        if isinstance(outline, Polygons):
            outline = outline.scaled(header.width, header.height)
        x, width, y, height = x * header.width, width * header.width, y * header.height, height * header.height
    is_point = row.values[2:] == (0, 0) and outline is None
    if not is_point and (width <= 0 or height <= 0) and outline is None:
        raise UserError(f"a box of {width:g}x{height:g} px holds nothing; width and height start at 1")
    left, top = BEYOND * header.width, BEYOND * header.height
    if x < -left or y < -top or x + width > header.width + left or y + height > header.height + top:
        what = f"point x={x:g} y={y:g}" if is_point else f"box x={x:g} y={y:g} width={width:g} height={height:g}"
        raise UserError(
            f"the {what} leaves the image of {header.width}x{header.height} px; count from the upper left corner"
        )
    right, bottom = min(x + width, header.width - is_point), min(y + height, header.height - is_point)
    x, y = min(max(x, 0), right), min(max(y, 0), bottom)
    if not is_point and (right <= x or bottom <= y) and outline is None:
        raise UserError("the box lies beyond the border of its image; move it inside, or remove it")
    return Annotation(
        file=image,
        name=str(row.name),
        x=x,
        y=y,
        width=right - x,
        height=bottom - y,
        where=row.where,
        um_per_px=row.um_per_px,
        outline=outline,
        group=row.group,
    )
