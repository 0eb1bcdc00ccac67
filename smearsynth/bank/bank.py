"""The bank: all accepted cells of a recipe at 40x, split into train, val and test, in flat arrays.

Flat arrays instead of a list of objects: compiled loops index them directly, a fork shares them without copying, and
their digest is a hash over a few arrays. `bank_file` keeps them on disk.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

MARGIN = 2
"""Rows and columns of mask 0 around every cell, so that bilinear warping never reads outside."""
ARRAYS = {
    "pixels": ("u1", 4),
    "offset": ("<i8", None),
    "height": ("<i4", None),
    "width": ("<i4", None),
    "class_id": ("u1", None),
    "split": ("u1", None),
    "source": ("u1", None),
    "area": ("<i4", None),
    "glass": ("u1", 3),
    "glass_measured": ("u1", None),
    "scale": ("<f4", None),
    "parasite": ("u1", None),
}
"""Type of each array in file and digest and, where it has two axes, its columns."""
STRINGS = ("groups", "paths", "sha256", "parts", "sources", "assembly")
"""The other fields."""
OF_GRAFTS = frozenset({"parasite", "assembly"})
"""Fields that a bank without grafts has not: empty here, and left out of file and digest."""

Rgba = npt.NDArray[np.uint8]
"""(h, w, 4): RGB and soft mask."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """n cells, P pixels in all. Cell i is `pixels[offset[i] : offset[i] + height[i] * width[i]]` in C order.

    pixels: uint8 (P, 4), RGB and soft mask. RGB is the cell's own colour, extended outwards past its edge, so that no
    glass, black rim or outline is mixed into it: the softness of the edge is in the mask alone. The outermost two
    rows and columns of every cell have mask 0. class_id: uint8 (n,) 1-9. split: uint8 (n,), index into SPLITS.
    source: uint8 (n,), index into `sources`. area: int32 (n,), pixels with mask >= 128. glass: uint8 (n, 3), RGB of the
    empty glass of its image; glass_measured: uint8 (n,), 0 where it is the source's recorded constant. scale: float32
    (n,), output px per source px. groups, paths, sha256: n strings each; a group is "source/group". parts: n strings,
    the rows of the cells that an assembled cell is made of, "12 57 57" ("" for a cell that was cut). sources: the names
    of the sources. parasite: uint8 (P,), 0 no parasite, 1 parasite, 255 unknown, per pixel. assembly: n strings, what
    an assembled red cell shows, such as "stain grain + ring at 12,30 turn 3 size 1.04 strength 0.92".
    """

    pixels: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int64]
    height: npt.NDArray[np.int32]
    width: npt.NDArray[np.int32]
    class_id: npt.NDArray[np.uint8]
    split: npt.NDArray[np.uint8]
    source: npt.NDArray[np.uint8]
    area: npt.NDArray[np.int32]
    glass: npt.NDArray[np.uint8]
    glass_measured: npt.NDArray[np.uint8]
    scale: npt.NDArray[np.float32]
    groups: tuple[str, ...]
    paths: tuple[str, ...]
    sha256: tuple[str, ...]
    parts: tuple[str, ...]
    sources: tuple[str, ...]
    parasite: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    assembly: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.class_id)

    def rgba(self, i: int) -> Rgba:
        """Cell i as uint8 (h, w, 4)."""
        h, w, start = int(self.height[i]), int(self.width[i]), int(self.offset[i])
        return self.pixels[start : start + h * w].reshape(h, w, 4)

    def parasite_map(self, i: int) -> npt.NDArray[np.uint8]:
        """Where the parasites of cell i lie, uint8 (h, w), in a bank that knows it."""
        h, w, start = int(self.height[i]), int(self.width[i]), int(self.offset[i])
        return self.parasite[start : start + h * w].reshape(h, w)

    @property
    def has_parasites(self) -> bool:
        """Whether the bank knows where parasites lie."""
        return bool(self.parasite.size)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Of the fields that file and digest hold, in alphabetical order."""
        return tuple(sorted({*ARRAYS, *STRINGS} - (frozenset() if self.has_parasites else OF_GRAFTS)))

    @cached_property
    def digest(self) -> str:
        """sha256, 64 hex digits, over name, shape and content of every field in alphabetical order.

        Arrays enter in C order, little-endian, strings as UTF-8 with their length before them; the file's layout does
        not.
        """
        sha = hashlib.sha256()
        for name in self.field_names:
            value = getattr(self, name)
            if name in ARRAYS:
                array = np.ascontiguousarray(value, ARRAYS[name][0])
                sha.update(f"{name}{array.shape}".encode())
                sha.update(array.data)
            else:
                texts = [text.encode() for text in value]
                sha.update(f"{name}({len(texts)},)".encode())
                sha.update(b"".join(len(text).to_bytes(8, "little") + text for text in texts))
        return sha.hexdigest()


assert {field.name for field in fields(Bank)} == {*ARRAYS, *STRINGS}


def add_assembled(
    bank: Bank,
    rgba: Sequence[Rgba],
    parts: Sequence[Sequence[int]],
    class_id: npt.NDArray[np.uint8],
    *,
    parasite: Sequence[npt.NDArray[np.uint8]] = (),
    assembly: Sequence[str] = (),
) -> Bank:
    """The bank with cells appended that were assembled of others.

    rgba: of each new cell. parts: the rows of the cells that each is made of; what it has beside its pixels (split,
    group, path, glass) is the first one's. class_id: uint8 (n,). parasite: uint8 (h, w) of each, and assembly, in a
    bank that has them.
    """
    first = [rows[0] for rows in parts]
    new = {
        **lay_end_to_end(rgba, start=len(bank.pixels)),
        "class_id": class_id,
        "parts": tuple(" ".join(map(str, rows)) for rows in parts),
        "parasite": np.concatenate([np.empty(0, np.uint8), *(plane.ravel() for plane in parasite)]),
        "assembly": tuple(assembly),
    }
    joined: dict[str, Any] = {"sources": bank.sources}
    for name in {*ARRAYS, *STRINGS} - {"sources"}:
        old = getattr(bank, name)
        if name in ARRAYS:
            joined[name] = np.concatenate([old, new[name] if name in new else old[first]])
        else:
            joined[name] = old + (new[name] if name in new else tuple(old[row] for row in first))
    return Bank(**joined)


def lay_end_to_end(rgba: Sequence[Rgba], *, start: int) -> dict[str, Any]:
    """The fields of a bank that follow from the pixels of its cells, the first of them at pixel `start`."""
    shapes = np.array([image.shape[:2] for image in rgba], np.int32).reshape(-1, 2)
    ends = np.cumsum(shapes.prod(axis=1, dtype=np.int64))
    return {
        "pixels": np.concatenate([np.empty((0, 4), np.uint8), *(image.reshape(-1, 4) for image in rgba)]),
        "offset": start + np.concatenate([np.zeros(1, np.int64), ends])[: len(rgba)],
        "height": shapes[:, 0].copy(),
        "width": shapes[:, 1].copy(),
        "area": np.array([(image[..., 3] >= 128).sum() for image in rgba], np.int32),
    }
