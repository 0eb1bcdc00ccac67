"""Which mask belongs to which image, by their names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtrain.importing.import_splits import SPLIT_OF
from smearsynth.base.errors import UserError
from smearsynth.base.images import FORMATS, IMAGE_SUFFIXES
from smearsynth.fields.field_folder import image_tree

SPLIT = "{split}"
_MASK = "cp_masks|masks?|labels?|gt|ground[ _-]?truth|seg|segmentation|annotations?|binary"
_IMAGE = "images?|img|raw|rgb|0000"
"""0000: of nnU-Net, the first channel, or all colours."""
_SEPARATOR = "[ ._-]"
Key = Callable[[Path], str]
"""What image and mask have in common."""


@dataclass(frozen=True)
class MaskPair:
    """An image and its mask. name: path of the image below its folder, with /; mask_name: of the mask below its own.
    page: of the image, where it is a TIFF of several."""

    name: str
    image: Path
    mask_name: str
    mask: Path
    page: int | None = None


def find_pairs(images: Path, masks: Path) -> tuple[list[MaskPair], list[str]]:
    """Every image with its mask, by name, and a sentence for each file without a partner or with several.

    A mask has the folder and the stem of its image, beside `_mask`, `-label`, `.gt` and the like, before or after it;
    capitals don't count, nor how a file system spells an accent. Both may lie in one folder, if the masks have such an
    addition. "{split}" in both paths stands for train, val and test, and comes first in the names. Raises UserError for
    a folder that is not there or holds no image.
    """
    parts = [_find(one, other, prefix) for prefix, one, other in of_splits(images, masks)]
    return [pair for pairs, _ in parts for pair in pairs], [error for _, errors in parts for error in errors]


def of_splits(images: Path, masks: Path) -> list[tuple[str, Path, Path]]:
    """Both paths, and what stands before the names of files: "", or with "{split}" in the paths a row for each split
    that is there. Raises UserError."""
    if SPLIT not in f"{images}{masks}":
        return [("", images, masks)]
    found = [(f"{name}/", _in_split(images, name), _in_split(masks, name)) for name in SPLIT_OF]
    there = [row for row in found if row[1].exists() or row[2].exists()]
    if not there or not all(SPLIT in str(path) for path in (images, masks)):
        raise UserError(f"{images}, {masks}: {SPLIT} must stand in both, for folders that are train, val or test.")
    return there


def _in_split(path: Path, name: str) -> Path:
    return Path(str(path).replace(SPLIT, name))


def _find(images: Path, masks: Path, prefix: str) -> tuple[list[MaskPair], list[str]]:
    """The same of two folders. prefix: before the names of files."""
    for folder in (images, masks):
        if not folder.is_dir():
            raise UserError(f"{folder}: is no folder; name the folder of the images, then that of their masks.")
    image_files, mask_files = _files(images, masks)
    for folder, files in ((images, image_files), (masks, mask_files)):
        if not files:
            raise UserError(f"{folder}: holds no image; put {', '.join(FORMATS)} files there.")
    files = [*image_files, *mask_files]
    if errors := [f"{file}: its name is no UTF-8; rename the file." for file in files if not _is_text(file)]:
        return [], errors
    partners = _partners([f.relative_to(images) for f in image_files], [f.relative_to(masks) for f in mask_files])
    pairs, owner = [], dict[Path, Path]()
    for image, found in zip(image_files, partners, strict=True):
        if not found:
            errors.append(f"{image}: has no mask in {masks}; {_remedy(image)}.")
        elif len(found) > 1:
            listed = ", ".join(mask.as_posix() for mask in found)
            errors.append(f"{image}: could have the masks {listed}; keep one of them.")
        elif found[0] in owner:
            errors.append(f"{masks / found[0]}: could be the mask of {owner[found[0]]} and of {image}; rename one.")
        else:
            owner[found[0]] = image
            name = prefix + image.relative_to(images).as_posix()
            pairs.append(MaskPair(name, image, prefix + found[0].as_posix(), masks / found[0]))
    met = {mask for found in partners for mask in found}
    left = [mask for mask in mask_files if mask.relative_to(masks) not in met]
    errors += [f"{mask}: has no image in {images}; add one of that stem, or remove the mask." for mask in left]
    return pairs, errors


def _remedy(image: Path) -> str:
    """Of an image without a mask."""
    channel = re.fullmatch(r"(.*)_000[1-9]", image.stem)
    if channel and image.with_name(f"{channel[1]}_0000{image.suffix}").is_file():
        return "it is a channel of its own, as in nnU-Net; join the channels of each case to one colour image"
    return "add one of that stem, or remove the image"


def _files(images: Path, masks: Path) -> tuple[list[Path], list[Path]]:
    """Images and masks, each file once, even where one folder is, or lies in, the other."""
    image_files, mask_files = image_tree(images), image_tree(masks)
    one, other = images.resolve(), masks.resolve()
    if one == other:
        return [f for f in image_files if not is_mask(f)], [f for f in mask_files if is_mask(f)]
    if other.is_relative_to(one):
        image_files = [f for f in image_files if not f.resolve().is_relative_to(other)]
    if one.is_relative_to(other):
        mask_files = [f for f in mask_files if not f.resolve().is_relative_to(one)]
    return image_files, mask_files


def _partners(images: Sequence[Path], masks: Sequence[Path]) -> list[list[Path]]:
    """The masks that each image could have: of the same stem, else of its stem with an addition of the mask, else with
    additions of both."""
    keys: tuple[tuple[Key, Key], ...] = ((_stem, _stem), (_stem, _mask_core), (_image_core, _mask_core))
    found: list[list[Path]] = [[] for _ in images]
    for of_image, of_mask in keys:
        by_key = defaultdict(list)
        for mask in masks:
            by_key[of_mask(mask)].append(mask)
        found = [have or by_key[of_image(image)] for image, have in zip(images, found, strict=True)]
    return found


def _is_text(path: Path) -> bool:
    """Whether the name can be written to a table."""
    return not any("\ud800" <= character <= "\udfff" for character in str(path))


def _stem(path: Path) -> str:
    """Folder and name without the extension, or two of an image, as in a.jpg.png."""
    while path.suffix.lower() in IMAGE_SUFFIXES:
        path = path.with_suffix("")
    return unicodedata.normalize("NFC", path.as_posix().casefold())


def _mask_core(path: Path) -> str:
    return _without(_stem(path), _MASK)


def _image_core(path: Path) -> str:
    return _without(_stem(path), _IMAGE)


def _without(stem: str, addition: str) -> str:
    folder, _, name = stem.rpartition("/")
    core = re.sub(f"{_SEPARATOR}+(?:{addition})$|^(?:{addition}){_SEPARATOR}+", "", name, count=1)
    bare = Path(core).suffix in IMAGE_SUFFIXES
    return f"{folder}/{Path(core).with_suffix('') if bare else core}"


def is_mask(path: Path) -> bool:
    """Whether a name has the addition of a mask, such as `_mask`."""
    name = Path(path.name)
    return _mask_core(name) != f"/{_stem(name)}"
