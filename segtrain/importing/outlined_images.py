"""Images whose cells somebody outlined with an annotation tool, and the label and instance maps that this makes.

Where outlines overlap, the later one in its file lies on top, of CVAT the one of the higher layer. What a name stands
for is a class of the set, null (the pixels get 255 and count for nothing) or "background". A crowd gets 255. Points and
boxes say where cells are and not which pixels are theirs, so no label is made of them.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segtrain.data.samples import Classes
from segtrain.importing.image_mask_pairs import MaskPair, is_mask, of_splits
from segtrain.importing.mask_reading import MaskReading, too_many_cells
from segtrain.importing.palettes import AUTO, BINARY, IDS, Palette, read_palette
from smearsynth.base.config_file import ConfigError, ConfigKind, ErrorLine, read_config
from smearsynth.base.errors import UserError
from smearsynth.base.files import file_digest, walk_files
from smearsynth.base.images import read_header
from smearsynth.base.tables import canonical
from smearsynth.base.validation import did_you_mean
from smearsynth.fields.annotation_files import NAMES_FILES, SUFFIXES
from smearsynth.fields.annotation_rows import NO_CLASS
from smearsynth.fields.annotations import Annotation, Annotations, read_annotations
from smearsynth.fields.cell_outlines import Outline, rectangle
from smearsynth.fields.field_folder import image_tree
from smearsynth.taxonomy import CLASSES, IGNORE, UNSURE, display_name

Names = Mapping[str, str | None]
"""What names of annotations stand for: the key of a class, or None."""
_NAMES = ConfigKind(noun="table of names", start="`NAME: CLASS`", example="ring=infected_rbc")
_KEYS = tuple(c.key for c in CLASSES[1:])


@dataclass(frozen=True)
class DrawnCell:
    """An outline, and the label of its pixels; with 0 or 255 it is no cell."""

    outline: Outline
    label: int


@dataclass(frozen=True, kw_only=True)
class OutlinedPair(MaskPair):
    """An image with its outlines, from below to above; `mask` is the file that they stand in, and sha256 its own. rest:
    label of all other pixels."""

    cells: tuple[DrawnCell, ...]
    rest: int
    sha256: str

    def read(self) -> tuple[MaskReading, str]:
        """Its label and instances, and the sha256 of its file. Raises UserError where the image cannot be read."""
        header = read_header(self.image, self.page)
        shape = header.height, header.width
        label, instance = np.full(shape, self.rest, np.uint8), np.zeros(shape, np.int32)
        for number, cell in enumerate(self.cells, start=1):
            window, mask = cell.outline.draw(shape)
            label[window][mask] = cell.label
            instance[window][mask] = 0 if cell.label in (0, IGNORE) else number
        seen, dense = np.unique(instance, return_inverse=True)
        dense = dense.reshape(shape) + (seen[0] != 0)
        hidden = sum(cell.label not in (0, IGNORE) for cell in self.cells) - int(dense.max())
        errors = too_many_cells(int(dense.max()))
        reading = MaskReading(label=label, instance=dense.astype(np.uint16), hidden=hidden, errors=errors)
        return reading, self.sha256


@dataclass(frozen=True, kw_only=True)
class OutlinedImages:
    """palette: the classes of the set. labels: of the names in the annotations. warnings: sentences."""

    pairs: tuple[OutlinedPair, ...]
    palette: Palette
    labels: Mapping[str, int]
    warnings: tuple[str, ...]


def has_annotations(images: Path, masks: Path | None) -> bool:
    """Whether what is said of images stands in files of annotations, and not in masks of a folder of their own: `masks`
    is such a file, a folder without images, or none or that of the images, without masks as `find_pairs` knows them."""
    if masks is None or masks.absolute() == images.absolute():
        return images.is_dir() and not any(is_mask(file.relative_to(images)) for file in image_tree(images))
    return any(
        other.is_file() or (other.is_dir() and not image_tree(other) and any(_annotation_files(other)))
        for _, _, other in of_splits(images, masks)
    )


def find_outlined(
    images: Path, annotations: Path | None, *, classes: Names | None, palette: str, rest: int, page: int | None = None
) -> OutlinedImages:
    """The images of a folder that files of annotations speak of, by name.

    annotations: a file, or a folder of them; None: the folder of the images. "{split}" in both paths as in
    `find_pairs`. classes: what names stand for; a name that it lacks is a class of that name. palette: "auto" (the ten
    classes, or background and cell where no name says more), "binary" (background and cell), or what `read_palette`
    takes. rest: label of what nobody outlined. page: of the images.
    Raises UserError with all errors of the files; for names that stand for no class; and for points and boxes.
    """
    parts = [(prefix, one, _read(one, other, page)) for prefix, one, other in of_splits(images, annotations or images)]
    cells = [cell for _, _, (_, found) in parts for cell in (*found.cells, *found.crowds)]
    if not cells:
        raise UserError(
            f"{annotations or images}: holds neither masks nor annotations of cells; name the folder or file of them",
            "masks",
        )
    names = {cell.name for _, _, (_, found) in parts for cell in found.cells}
    known, labels = _labels(names, classes, palette, annotations or images)
    _refuse_places([cell for _, _, (_, found) in parts for cell in found.cells], labels, annotations or images)
    pairs, warnings = list[OutlinedPair](), list[str]()
    for prefix, folder, (root, found) in parts:
        pairs += _pairs(prefix, folder, root, found, labels, rest)
        fields = {file.relative_to(root).as_posix() for file in _images(folder)} - found.masks
        if silent := len(fields - found.images):
            warnings.append(f"images in {folder} that no annotation speaks of are left out: {silent:,}")
        warnings += [
            f"left out of the annotations: {reason} ({number:,})" for reason, number in sorted(found.left_out.items())
        ]
    known = replace(known, name="outlines", form="instances", colours={}, values={})
    pairs.sort(key=lambda pair: pair.name.split("/"))
    return OutlinedImages(pairs=tuple(pairs), palette=known, labels=labels, warnings=tuple(warnings))


def _read(images: Path, annotations: Path, page: int | None) -> tuple[Path, Annotations]:
    """The folder that holds all of both, and the annotations, with paths relative to it."""
    for path, what in ((images, images.is_dir()), (annotations, annotations.exists())):
        if not what:
            raise UserError(f"{path}: is not there; name the folder of the images, then their masks or annotations")
    images, annotations = (Path(os.path.abspath(path)) for path in (images, annotations))  # noqa: PTH100
    folder = annotations if annotations.is_dir() else annotations.parent
    root = Path(os.path.commonpath([images, folder]))
    above = [one for one in (folder, *folder.parents) if one.is_relative_to(root)]
    named = {one / name for one in above for name in NAMES_FILES if (one / name).is_file()}
    files = {annotations} if annotations.is_file() else set(_annotation_files(annotations))
    return root, read_annotations(
        root,
        [file.relative_to(root).as_posix() for file in _images(images)],
        [file.relative_to(root).as_posix() for file in sorted(files | named)],
        page=page,
    )


def _images(folder: Path) -> tuple[Path, ...]:
    return tuple(image_tree(Path(os.path.abspath(folder))))  # noqa: PTH100


def _annotation_files(folder: Path) -> Iterator[Path]:
    return (file for file in walk_files(folder)[0] if file.suffix.lower() in SUFFIXES)


def _labels(names: set[str], classes: Names | None, palette: str, where: Path) -> tuple[Palette, dict[str, int]]:
    """The classes of the set, and the label of each name."""
    if palette == BINARY or (palette == AUTO and not classes and names == {NO_CLASS}):
        known = read_palette(BINARY)
        own = {canonical(name): 1 for name in names}
    else:
        known = read_palette(IDS if palette == AUTO else palette)
        own = labels_by_name(known.classes)
    own[UNSURE] = IGNORE
    keys = ("background", *known.classes.keys[1:])
    wrong = [f"{name}: {error}" for name, key in (classes or {}).items() if (error := class_error(key, keys))]
    if wrong:
        raise UserError("\n".join(wrong), "classes")
    of_key = dict(zip(known.classes.keys, known.classes.ids, strict=True)) | {"background": 0}
    labels = {name: IGNORE if key is None else of_key[key] for name, key in (classes or {}).items()}
    labels |= {name: own[canonical(name)] for name in names - labels.keys() if canonical(name) in own}
    if unknown := sorted(names - labels.keys()):
        raise UserError(
            f"{where}: {', '.join(map(repr, unknown[:5]))} name no class of the set; a file of lines `NAME: CLASS` "
            f"says what they stand for: {', '.join(known.classes.keys[1:])}, background, or null for 255",
            "classes",
        )
    return known, labels


def labels_by_name(classes: Classes) -> dict[str, int]:
    """The label of each class, by its key and by its name in `canonical` form."""
    pairs = list(zip(classes.keys, classes.ids, strict=True))
    return {canonical(name): label for key, label in pairs for name in (display_name(key), key)}


def _refuse_places(cells: list[Annotation], labels: Mapping[str, int], where: Path) -> None:
    places = [cell for cell in cells if not cell.outline and not (labels[cell.name] == IGNORE and cell.width)]
    if places:
        raise UserError(
            f"{where}: {len(places):,} of {len(cells):,} annotated cells are points or boxes (the first: "
            f"{places[0].where}), and labels need outlines; outline them, or use them as they are: `segtrain evaluate "
            "--classes` measures names by them, and a recipe's source of kind `fields` cuts their cells"
        )


def _pairs(
    prefix: str, folder: Path, root: Path, found: Annotations, labels: Mapping[str, int], rest: int
) -> Iterator[OutlinedPair]:
    sha256 = {file: file_digest(root / file) for file in set(found.file_of.values())}
    # What counts for nothing lies below, for it is mostly a region around cells.
    below = {image: list[DrawnCell]() for image in found.images}
    above = {image: list[DrawnCell]() for image in found.images}
    for cell in found.crowds:
        below[cell.file].append(DrawnCell(_outline(cell), IGNORE))
    for cell in found.cells:
        (below if labels[cell.name] == IGNORE else above)[cell.file].append(
            DrawnCell(_outline(cell), labels[cell.name])
        )
    for image, file in found.file_of.items():
        path = root / image
        yield OutlinedPair(
            name=prefix + path.relative_to(os.path.abspath(folder)).as_posix(),  # noqa: PTH100
            image=path,
            mask_name=file,
            mask=root / file,
            cells=(*below[image], *above[image]),
            rest=rest,
            sha256=sha256[file],
        )


def _outline(cell: Annotation) -> Outline:
    return cell.outline or rectangle(cell.x, cell.y, cell.width, cell.height)


def read_class_names(path: Path, keys: tuple[str, ...] = _KEYS) -> dict[str, str | None]:
    """A YAML file of lines `NAME: CLASS`: what names of annotations stand for; null leaves the cells of a name out.
    keys: of the classes. Raises UserError with every line that names no class."""
    file = read_config(path, _NAMES)
    for name, key in file.data.items():
        if error := class_error(key, keys):
            file.errors.append(ErrorLine(file.places.get((name,), file.places[()]), (name,), error))
    if file.errors:
        raise ConfigError(file.errors)
    return {str(name): key for name, key in file.data.items()}


def class_error(key: object, keys: tuple[str, ...] = _KEYS) -> str:
    """What is wrong with the class that a name stands for, "" where nothing is."""
    if key is None or key in keys:
        return ""
    hint = did_you_mean(str(key), keys) or f": the classes are {', '.join(keys)}, or null"
    return f"there is no class {key!r}{hint}"
