"""The shard format, versions 1 and 2, and the digests that say what "the same dataset" means.

A shard is one plain HDF5 file, readable by any HDF5 tool without a plug-in, and never changed once it has its
name. N samples, images of H x W pixels, K rows per sample for objects with F fields, numbers little-endian:

    image         uint8  (N, H, W, 3)  RGB
    label         uint8  (N, H, W)     class id; 255 = ignore (imported sets only)
    instance      uint16 (N, H, W)     0 = background, else 1 + row in `objects`
    parasite      uint8  (N, H, W)     version 2 only: 0 none, 1 parasite, 255 unknown; see `scene.parasite_maps`
    objects       int32  (N, K, F)     attributes `fields`, `units` and `meanings` say of each of the F columns what
                                       OBJECT_COLUMNS does (older shards have `fields` alone); rows in ascending z,
                                       unused rows 0
    object_count  uint16 (N,)          rows of `objects` in use
    foreground    uint16 (N, 9)        objects of class 1 to 9
    background    uint8  (N,)          0 none, 1 healthy, 2 infected, 3 mixed red cells
    scene         uint32 (N,)          index of the scene in its split; its looks share it, in adjacent rows
    look          uint8  (N,)          index into the attribute `looks`
    sample_id     bytes  (N,)          "train-00000042"; further looks "train-00000042@reference"
    digest        bytes  (N,)          sha256 of the sample, 64 hex digits (see `sample_digest`)

`image`, `label`, `instance`, `parasite` and `objects` are the big ones. Codec `gzip`: chunk = one sample, the standard
deflate filter. Codec `none`: contiguous, so that a sample can be mapped into memory at
`Dataset.id.get_offset()`. All others are contiguous.

An imported set (`segtrain import`) lacks `foreground` and `background`. Where the masks that it was made of did not
tell cells apart, it also lacks `instance`, `objects` and `object_count`, and its sample digest is over image and label
alone; else the columns of `objects` are class, x, y, w, h, visible, full, and a row is a cell whose pixels are what
shows of it (full: in the whole image, where the sample is a patch). It has

    group         uint32 (N,)          samples of one number are of one patient, or of one source image

and may have another taxonomy, with taxonomy_version 0; generator_version is 0, recipe_hash and bank_digest are empty.

Attributes of the file: format_version, generator_version, taxonomy_version, class_ids, class_keys,
class_colours (sRGB "#rrggbb"), um_per_px, split, recipe_hash, bank_digest, looks. There are no timestamps, so
equal content gives equal bytes, but for about one chunk in 100,000 that ISA-L deflates to another valid stream. So
two sets are the same if their digests are: these are over pixels, whatever the container, codec and sharding.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from smearsynth import taxonomy

FORMAT_VERSION = 1
WITH_PARASITES = 2
"""Format version of a set that knows where parasites lie."""
GENERATOR_VERSION = 3
"""Rises with every change of a golden digest: only within one version are two sets of one recipe equal."""
SHORT_DIGEST = 16
"""Hex digits of a sample's digest that name its image where labels are withheld."""

CODECS = ("gzip", "none")
BIG = {"image": "u1", "label": "u1", "instance": "<u2", "parasite": "u1", "objects": "<i4"}
"""Datasets that hold one compressed chunk per sample, and their types."""
SMALL = {
    "object_count": "<u2",
    "foreground": "<u2",
    "background": "u1",
    "scene": "<u4",
    "look": "u1",
    "digest": "S64",
}
"""Datasets of a few bytes per sample, and their types; `sample_id` is as wide as its longest name."""
SMALL_IMPORTED = {"scene": "<u4", "look": "u1", "group": "<u4", "digest": "S64"}
"""The same of an imported set."""
SMALL_CELLS = {"object_count": "<u2"}
"""The same of an imported set that tells cells apart, beside those."""
OBJECT_COLUMNS = {
    "class": ("class id", "what the cell is"),
    "cell": ("row", "which cell of the bank it is, from 0"),
    "cx": ("1/256 px", "centre of the placed cell, from the left edge of the image"),
    "cy": ("1/256 px", "centre of the placed cell, from the upper edge of the image"),
    "angle": ("1/65536 turn", "by which the cell is turned"),
    "flip": ("0 or 1", "1: mirrored, before it is turned"),
    "scale": ("1/65536", "by which the cell at 0.20 um per pixel is enlarged; 65536: as it is"),
    "z": ("rank", "order from the glass up: the higher cell hides the lower one"),
    "x": ("px", "left edge of the box of the visible part"),
    "y": ("px", "upper edge of the box of the visible part"),
    "w": ("px", "width of the box of the visible part"),
    "h": ("px", "height of the box of the visible part"),
    "visible": ("px", "pixels of the cell in label and instance map"),
    "full": ("px", "pixels that it would have with no cell above it and no edge of the image through it"),
}
"""Unit and meaning of each column of `objects`, by its name."""
IMPORTED_FIELDS = ("class", "x", "y", "w", "h", "visible", "full")
"""Columns of `objects` in an imported set that tells cells apart."""
FILE_NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}"
"""What an index may call a file of its set: no such name leaves the folder."""
MAX_OBJECTS = 65_534
"""Objects that one sample can hold: instance ids are uint16 and 0 is background."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a shard says of itself, in its attributes. fields: columns of `objects`, () in a set without."""

    split: str
    looks: tuple[str, ...]
    recipe_hash: str
    bank_digest: str
    fields: tuple[str, ...]
    um_per_px: float = taxonomy.UM_PER_PX
    class_ids: tuple[int, ...] = tuple(c.id for c in taxonomy.CLASSES)
    class_keys: tuple[str, ...] = tuple(c.key for c in taxonomy.CLASSES)
    class_colours: tuple[str, ...] = tuple(c.colour for c in taxonomy.CLASSES)
    taxonomy_version: int = taxonomy.TAXONOMY_VERSION
    generator_version: int = GENERATOR_VERSION
    format_version: int = FORMAT_VERSION

    @property
    def imported(self) -> bool:
        """Whether its set was imported; no generator made it."""
        return self.generator_version == 0

    @property
    def has_parasites(self) -> bool:
        """Whether its samples have a parasite mask."""
        return self.format_version == WITH_PARASITES


@dataclass(frozen=True, kw_only=True)
class ShardSample:
    """One row of a shard.

    image: uint8 (H, W, 3) RGB. label: uint8 (H, W). instance: uint16 (H, W). objects: int32 (n, F), n <= K. digest:
    64 hex digits. parasite: uint8 (H, W), where the set knows it.
    """

    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    instance: npt.NDArray[np.uint16]
    objects: npt.NDArray[np.int32]
    background: int
    scene: int
    look: int
    sample_id: str
    digest: str
    parasite: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, kw_only=True)
class ImportedSample:
    """One row of a shard of an imported set.

    image: uint8 (H, W, 3) RGB. label: uint8 (H, W), 255 = ignore. scene: number of the sample in its split. digest:
    64 hex digits. instance: uint16 (H, W), objects: int32 (n, 7), as `IMPORTED_FIELDS`, where cells are told apart.
    """

    image: npt.NDArray[np.uint8]
    label: npt.NDArray[np.uint8]
    scene: int
    group: int
    sample_id: str
    digest: str
    instance: npt.NDArray[np.uint16] | None = None
    objects: npt.NDArray[np.int32] | None = None


def sample_id(split: str, scene: int, look: int, looks: Sequence[str]) -> str:
    """ "train-00000042" for the first look, "train-00000042@NAME" for further ones."""
    name = f"{split}-{scene:08d}"
    return name if look == 0 else f"{name}@{looks[look]}"


def sample_digest(
    image: npt.NDArray[np.uint8],
    label: npt.NDArray[np.uint8],
    instance: npt.NDArray[np.uint16] | None = None,
    parasite: npt.NDArray[np.uint8] | None = None,
) -> str:
    """sha256, 64 hex digits, over image (uint8), label (uint8), instance (uint16) and parasite mask (uint8) in C order,
    little-endian; an imported sample has no instance, and not every set has parasite masks.
    """
    sha = hashlib.sha256(np.ascontiguousarray(image, "u1").data)
    sha.update(np.ascontiguousarray(label, "u1").data)
    if instance is not None:
        sha.update(np.ascontiguousarray(instance, "<u2").data)
    if parasite is not None:
        sha.update(np.ascontiguousarray(parasite, "u1").data)
    return sha.hexdigest()


def dataset_digest(sample_digests: Iterable[str]) -> str:
    """sha256, 64 hex digits, over the raw 32-byte sample digests.

    They come in the order train, val, test and by ascending row: ascending scene, looks of a scene in recipe
    order.
    """
    sha = hashlib.sha256()
    for digest in sample_digests:
        sha.update(bytes.fromhex(digest))
    return sha.hexdigest()
