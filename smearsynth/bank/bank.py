"""The bank: all accepted cells of a recipe at 40x, split into train, val and test, in flat arrays.

Flat pools instead of a list of objects: compiled loops index them directly, a fork shares them without copying, and
their digest is a hash over a few arrays.

As a file, `cells.h5`, it is plain HDF5, format version 1: each field is a dataset of its name, arrays little-endian,
strings UTF-8 padded with zeros to the longest. Attributes: format_version, taxonomy_version, um_per_px, splits,
digest. No timestamps, so equal banks give equal files. Whatever `load` returns can be trusted by compiled loops, which
check no bounds: every figure that they index with is tested, and a damaged bank, or one made by someone else, ends
in one sentence.

Cells at 40x laid end to end as a bank.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from smearsynth.bank.cell import Cell
from smearsynth.base.errors import UserError, first_line
from smearsynth.base.files import publish
from smearsynth.base.hdf5 import UNREADABLE, is_contiguous, is_of, own_dataset
from smearsynth.taxonomy import CLASSES, PLATELET_CLUMP, SPLITS, TAXONOMY_VERSION, THROMBOCYTE, UM_PER_PX

FORMAT_VERSION = 1
_LAYOUT = ("v110", "v110")
"""HDF5 1.10 puts checksums on all metadata; without them a flipped byte can crash the library itself."""

_ARRAYS = {
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
}
"""Type and, for a table, columns of each array."""
_STRINGS = ("groups", "paths", "sha256", "parts", "sources")
MARGIN = 2
"""Rows and columns of mask 0 around every cell, so that bilinear warping never reads outside."""
_MOST_SIDE = 4096
"""Largest height or width of a cell, px: eight tenths of a millimetre at 40x, and no product of two overflows."""
_REMEDY = "copy it again, or make it again with `smearsynth cells RECIPE --save FILE`"


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """n cells, P pixels in all. Cell i is `pixels[offset[i] : offset[i] + height[i] * width[i]]` in C order.

    pixels: u1 (P, 4), RGB and soft mask. RGB is the cell's own colour, extended outwards past its edge, so that no
    glass, black rim or outline is mixed into it: the softness of the edge is in the mask alone. The outermost two
    rows and columns of every cell have mask 0. class_id: u1 (n,) 1-9. split: u1 (n,), index into SPLITS.
    source: u1 (n,), index into `sources`. area: i4 (n,), pixels with mask >= 128. glass: u1 (n, 3), empty glass of
    its image; glass_measured: u1 (n,), 0 where it is the source's recorded constant. scale: f4 (n,), output px per
    source px. groups, paths, sha256: n strings each; a group is "source/group". parts: n strings, the rows of the cells
    that an assembled clump is made of, "12 57 57" ("" for a cell of its own).
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

    def __len__(self) -> int:
        return len(self.class_id)

    def rgba(self, i: int) -> npt.NDArray[np.uint8]:
        """Cell i as u1 (h, w, 4)."""
        h, w, start = int(self.height[i]), int(self.width[i]), int(self.offset[i])
        return self.pixels[start : start + h * w].reshape(h, w, 4)

    @cached_property
    def digest(self) -> str:
        """sha256, 64 hex digits, over name, shape and content of every field in alphabetical order.

        Arrays enter in C order, little-endian, strings as UTF-8 with their length before them; the file's layout does
        not.
        """
        sha = hashlib.sha256()
        for name in sorted((*_ARRAYS, *_STRINGS)):
            value = getattr(self, name)
            if name in _ARRAYS:
                array = np.ascontiguousarray(value, _ARRAYS[name][0])
                sha.update(f"{name}{array.shape}".encode())
                sha.update(array.data)
            else:
                texts = [text.encode() for text in value]
                sha.update(f"{name}({len(texts)},)".encode())
                sha.update(b"".join(len(text).to_bytes(8, "little") + text for text in texts))
        return sha.hexdigest()


assert {field.name for field in fields(Bank)} == {*_ARRAYS, *_STRINGS}


def save_bank(bank: Bank, path: Path) -> None:
    """Writes the bank under a temporary name beside `path`, flushes it to the disk, then gives it its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Made in memory: where the disk takes no more, HDF5 can lose a part without a word, or crash.
        with h5py.File(path.name, "w", libver=_LAYOUT, driver="core", backing_store=False) as file:
            for name, (kind, _) in _ARRAYS.items():
                file.create_dataset(name, data=np.ascontiguousarray(getattr(bank, name), kind), track_times=False)
            for name in _STRINGS:
                texts = [text.encode() for text in getattr(bank, name)]
                kind = h5py.string_dtype("utf-8", max([1, *map(len, texts)]))
                file.create_dataset(name, data=np.array(texts, kind), track_times=False)
            file.attrs["format_version"] = FORMAT_VERSION
            file.attrs["taxonomy_version"] = TAXONOMY_VERSION
            file.attrs["um_per_px"] = UM_PER_PX
            file.attrs["splits"] = np.array(SPLITS, "S")
            file.attrs["digest"] = np.bytes_(bank.digest)
            file.flush()
            temporary.write_bytes(file.id.get_file_image())
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_bank(path: Path) -> Bank:
    """The bank in the file. Raises UserError that names the file where it is missing, newer, damaged or not a bank."""
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such bank; make it with `smearsynth cells RECIPE --save FILE` or correct --bank."
        )
    try:
        with h5py.File(path, "r") as file:
            version = int(file.attrs["format_version"])
            if version > FORMAT_VERSION:
                raise UserError(
                    f"{path}: bank format {version} is newer than this smearsynth reads ({FORMAT_VERSION}); "
                    "upgrade smearsynth."
                )
            taxonomy = int(file.attrs["taxonomy_version"])
            scale = float(file.attrs["um_per_px"])
            stated = bytes(file.attrs["digest"]).decode()
            bank = Bank(**_read(file))
    except UserError:
        raise
    except UNREADABLE as error:
        raise UserError(f"{path}: not a whole bank ({first_line(error)}); {_REMEDY}.") from error
    if (taxonomy, scale) != (TAXONOMY_VERSION, UM_PER_PX):
        raise UserError(
            f"{path}: the bank has taxonomy {taxonomy} at {scale} um/px, this smearsynth has {TAXONOMY_VERSION} "
            f"at {UM_PER_PX}; make the bank again with `smearsynth cells RECIPE --save FILE`."
        )
    fault = _fault(bank) if bank.digest == stated else "its content does not match its digest"
    if fault:
        raise UserError(f"{path}: {fault}; {_REMEDY}.")
    return bank


def _read(file: h5py.File) -> dict[str, Any]:
    """Every field; ValueError where one has another type or shape, or lies elsewhere, before anything of it is read."""
    read: dict[str, Any] = {}
    n = own_dataset(file, "class_id").shape[0]
    for name, (kind, columns) in _ARRAYS.items():
        data = _stored(file, name)
        rows = data.shape[0] if name == "pixels" else n
        if not is_of(data, kind) or data.shape != ((rows,) if columns is None else (rows, columns)):
            raise ValueError(f"`{name}` is {data.dtype} {data.shape}")
        read[name] = data[()]
    for name in _STRINGS:
        data = _stored(file, name)
        if data.dtype.kind != "S" or data.ndim != 1:
            raise ValueError(f"`{name}` is not a list of strings of one length")
        if name != "sources" and len(data) != n:
            raise ValueError(f"`{name}` has {len(data)} rows for {n} cells")
        read[name] = tuple(text.decode() for text in data[()].tolist())
    return read


def _stored(file: h5py.File, name: str) -> h5py.Dataset:
    """A field that needs no more memory than the file has bytes."""
    data = own_dataset(file, name)
    if not is_contiguous(data):
        raise ValueError(f"`{name}` is not stored in one piece")
    return data


def _fault(bank: Bank) -> str:
    """What is wrong with the bank, "" where nothing is."""
    height, width = bank.height.astype(np.int64), bank.width.astype(np.int64)
    sides = np.concatenate([height, width])
    checks = {
        "it holds no cell": len(bank) == 0,
        "a cell has an impossible size": (sides <= 2 * MARGIN).any() or (sides > _MOST_SIDE).any(),
        "a cell lies outside the pixels": (bank.offset < 0).any()
        or (bank.offset > len(bank.pixels) - height * width).any(),
        "a class id is none of 1 to 9": (bank.class_id < 1).any() or (bank.class_id >= len(CLASSES)).any(),
        "a split is none of 0 to 2": (bank.split >= len(SPLITS)).any(),
        "a source is not in its list": (bank.source >= len(bank.sources)).any(),
        "`glass_measured` is neither 0 nor 1": (bank.glass_measured > 1).any(),
        "a scale is not a positive number": not (np.isfinite(bank.scale) & (bank.scale > 0)).all(),
    }
    return next((fault for fault, found in checks.items() if found), "") or _fault_of_cells(bank)


def _fault_of_cells(bank: Bank) -> str:
    for i in range(len(bank)):
        mask = bank.rgba(i)[..., 3]
        inner = mask[MARGIN:-MARGIN, MARGIN:-MARGIN]
        if int(mask.sum(dtype=np.int64)) != int(inner.sum(dtype=np.int64)):
            return f"the mask of cell {i} reaches into its margin"
        area = int((mask >= 128).sum())
        if area != bank.area[i] or area == 0:
            return f"the area of cell {i} is {area} px, not {bank.area[i]}"
        if bank.parts[i] and not _are_platelets(bank, i):
            return f"cell {i} is not made of platelets of its split"
    if len(set(zip(bank.groups, bank.split.tolist(), strict=True))) != len(set(bank.groups)):
        return "a group stands in two splits"
    return ""


def _are_platelets(bank: Bank, clump: int) -> bool:
    rows = bank.parts[clump].split(" ")
    return bank.class_id[clump] == PLATELET_CLUMP and all(
        row.isdecimal()
        and len(row) < 10
        and int(row) < len(bank)
        and bank.class_id[int(row)] == THROMBOCYTE
        and bank.split[int(row)] == bank.split[clump]
        for row in rows
    )


def build_bank(
    rgba: Sequence[npt.NDArray[np.uint8]],
    cells: Sequence[Cell],
    *,
    split: npt.NDArray[np.uint8],
    groups: Sequence[str],
    sources: tuple[str, ...],
) -> Bank:
    """rgba: u1 (h, w, 4) per cell. split: u1 (n,). groups: "source/group" of each, after duplicates were merged."""
    shapes = np.array([image.shape[:2] for image in rgba], np.int32).reshape(-1, 2)
    ends = np.cumsum(shapes.prod(axis=1, dtype=np.int64))
    return Bank(
        pixels=np.concatenate([image.reshape(-1, 4) for image in rgba]),
        offset=np.concatenate([[0], ends[:-1]]).astype(np.int64),
        height=shapes[:, 0].copy(),
        width=shapes[:, 1].copy(),
        class_id=np.array([c.class_id for c in cells], np.uint8),
        split=split,
        source=np.array([sources.index(c.source) for c in cells], np.uint8),
        area=np.array([(image[..., 3] >= 128).sum() for image in rgba], np.int32),
        glass=np.array([c.glass for c in cells], np.uint8).reshape(-1, 3),
        glass_measured=np.array([c.glass_measured for c in cells], np.uint8),
        scale=np.array([(c.um_per_px or 0) / UM_PER_PX for c in cells], np.float32),
        groups=tuple(groups),
        paths=tuple(c.path for c in cells),
        sha256=tuple(c.sha256 for c in cells),
        parts=("",) * len(cells),
        sources=sources,
    )
