"""The file of a bank, `cells.h5`.

Plain HDF5: each field is a dataset of its name, arrays little-endian, strings UTF-8 padded with zeros to the longest.
Format version 2 has `parasite` and `assembly`, version 1 has not. Attributes: format_version, taxonomy_version,
um_per_px, splits, digest. No timestamps, so equal banks give equal files.

Whatever `load_bank` returns can be trusted by compiled loops, which check no bounds: every figure that they index with
is tested, and a damaged bank, or one made by someone else, ends in one sentence.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from smearsynth.bank.bank import ARRAYS, MARGIN, OF_GRAFTS, STRINGS, Bank
from smearsynth.bank.parasites import NO, UNKNOWN, YES
from smearsynth.base.errors import UserError, first_line
from smearsynth.base.files import published
from smearsynth.base.hdf5 import UNREADABLE, is_contiguous, is_of, open_to_read, own_dataset
from smearsynth.taxonomy import (
    CLASSES,
    HEALTHY_RBC,
    INFECTED_RBC,
    PLATELET_CLUMP,
    SPLITS,
    TAXONOMY_VERSION,
    THROMBOCYTE,
    UM_PER_PX,
)

FORMAT_VERSION = 2
_LAYOUT = ("v110", "v110")
"""HDF5 1.10 puts checksums on all metadata; without them a flipped byte can crash the library itself."""
_MOST_SIDE = 4096
"""Largest height or width of a cell, px: eight tenths of a millimetre at 40x, and no product of two overflows."""
_REMEDY = "copy it again, or make it again with `smearsynth cells RECIPE --save FILE`"


def save_bank(bank: Bank, path: Path) -> None:
    """Writes the bank as a whole: a reader sees the old file or the new one."""
    # Made in memory: where the disk takes no more, HDF5 can lose a part without a word, or crash.
    with h5py.File(path.name, "w", libver=_LAYOUT, driver="core", backing_store=False) as file:
        for name in (name for name in (*ARRAYS, *STRINGS) if name in bank.field_names):
            if name in ARRAYS:
                data = np.ascontiguousarray(getattr(bank, name), ARRAYS[name][0])
            else:
                texts = [text.encode() for text in getattr(bank, name)]
                data = np.array(texts, h5py.string_dtype("utf-8", max([1, *map(len, texts)])))
            file.create_dataset(name, data=data, track_times=False)
        file.attrs["format_version"] = FORMAT_VERSION if bank.has_parasites else 1
        file.attrs["taxonomy_version"] = TAXONOMY_VERSION
        file.attrs["um_per_px"] = UM_PER_PX
        file.attrs["splits"] = np.array(SPLITS, "S")
        file.attrs["digest"] = np.bytes_(bank.digest)
        file.flush()
        image = file.id.get_file_image()
    with published(path) as part:
        part.write_bytes(image)


def load_bank(path: Path) -> Bank:
    """The bank in the file. Raises UserError that names the file where it is missing, newer, damaged or not a bank."""
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such bank; make it with `smearsynth cells RECIPE --save FILE`, or name another",
            "bank",
        )
    try:
        with open_to_read(path) as file:
            version = int(file.attrs["format_version"])
            if version > FORMAT_VERSION:
                raise UserError(
                    f"{path}: bank format {version} is newer than this smearsynth reads ({FORMAT_VERSION}); "
                    "upgrade smearsynth."
                )
            taxonomy = int(file.attrs["taxonomy_version"])
            scale = float(file.attrs["um_per_px"])
            stated = bytes(file.attrs["digest"]).decode()
            bank = Bank(**_read_fields(file, {*ARRAYS, *STRINGS} - (OF_GRAFTS if version < 2 else frozenset())))
    except UserError:
        raise
    except UNREADABLE as error:
        raise UserError(f"{path}: not a whole bank ({first_line(error)}); {_REMEDY}.") from error
    if (taxonomy, scale) != (TAXONOMY_VERSION, UM_PER_PX):
        raise UserError(
            f"{path}: the bank has taxonomy {taxonomy} at {scale} um/px, this smearsynth has {TAXONOMY_VERSION} "
            f"at {UM_PER_PX}; make the bank again with `smearsynth cells RECIPE --save FILE`."
        )
    damage = _find_error(bank) if bank.digest == stated else "its content does not match its digest"
    if damage:
        raise UserError(f"{path}: {damage}; {_REMEDY}.")
    return bank


def _read_fields(file: h5py.File, names: set[str]) -> dict[str, Any]:
    """The fields of these names; ValueError where one has another type or shape, or lies elsewhere, before anything of
    it is read."""
    read: dict[str, Any] = {}
    n = own_dataset(file, "class_id").shape[0]
    for name in sorted(names):
        data = own_dataset(file, name)
        if not is_contiguous(data):
            # A field must need no more memory than the file has bytes.
            raise ValueError(f"`{name}` is not stored in one piece")
        if name in ARRAYS:
            kind, columns = ARRAYS[name]
            rows = data.shape[0] if name in ("pixels", "parasite") else n
            if not is_of(data, kind) or data.shape != ((rows,) if columns is None else (rows, columns)):
                raise ValueError(f"`{name}` is {data.dtype} {data.shape}")
            read[name] = data[()]
        else:
            if data.dtype.kind != "S" or data.ndim != 1:
                raise ValueError(f"`{name}` is not a list of strings of one length")
            if name != "sources" and len(data) != n:
                raise ValueError(f"`{name}` has {len(data)} rows for {n} cells")
            read[name] = tuple(text.decode() for text in data[()].tolist())
    return read


def _find_error(bank: Bank) -> str:
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
        "a group stands in two splits": len(set(zip(bank.groups, bank.split.tolist(), strict=True)))
        != len(set(bank.groups)),
        "`parasite` is not of its pixels": bank.has_parasites and len(bank.parasite) != len(bank.pixels),
        "`parasite` is none of 0, 1 and 255": not np.isin(bank.parasite, (NO, YES, UNKNOWN)).all(),
    }
    return next((error for error, found in checks.items() if found), "") or _find_error_of_a_cell(bank)


def _find_error_of_a_cell(bank: Bank) -> str:
    for i in range(len(bank)):
        mask = bank.rgba(i)[..., 3]
        inner = mask[MARGIN:-MARGIN, MARGIN:-MARGIN]
        if int(mask.sum(dtype=np.int64)) != int(inner.sum(dtype=np.int64)):
            return f"the mask of cell {i} reaches into its margin"
        area = int((mask >= 128).sum())
        if area != bank.area[i] or area == 0:
            return f"the area of cell {i} is {area} px, not {bank.area[i]}"
        if bank.parts[i] and not _is_assembled(bank, i):
            return f"cell {i} is not made of platelets, or of red cells, of its split"
        if bank.class_id[i] != INFECTED_RBC and bank.has_parasites and bank.parasite_map(i).any():
            return f"cell {i} holds a parasite and is not infected"
    return ""


def _is_assembled(bank: Bank, row: int) -> bool:
    """Whether the parts of a cell are what it may be made of: a clump of platelets, a red cell of one to which the
    parasites of infected ones were added; all of its own split."""
    parts = bank.parts[row].split(" ")
    if not all(part.isdecimal() and len(part) < 10 and int(part) < len(bank) for part in parts):
        return False
    rows = [int(part) for part in parts]
    classes, class_id = bank.class_id[rows].tolist(), int(bank.class_id[row])
    if class_id == PLATELET_CLUMP:
        fits = set(classes) == {THROMBOCYTE}
    elif class_id == INFECTED_RBC:
        cut = not any(bank.parts[part] for part in rows)
        fits = cut and classes[0] == HEALTHY_RBC and set(classes[1:]) <= {INFECTED_RBC}
    else:
        fits = class_id == HEALTHY_RBC and len(rows) == 1 and classes[0] in (HEALTHY_RBC, INFECTED_RBC)
    return fits and bool((bank.split[rows] == bank.split[row]).all())
