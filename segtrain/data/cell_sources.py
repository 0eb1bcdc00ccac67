"""Which database each cell of a set is from, by the bank that lies beside its shards."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from smearsynth.errors import UserError, first_line
from smearsynth.hdf5 import UNREADABLE, is_contiguous, is_of, own_dataset

BANK = "cells.h5"


@dataclass(frozen=True)
class CellSources:
    """path: of the bank. names: of the sources. source: u1 (n,), the place in `names` of each cell of the bank."""

    path: Path
    names: tuple[str, ...]
    source: npt.NDArray[np.uint8]

    def of(self, cell: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        """Place in `names` of cells. UserError where the bank has no such cell."""
        if cell.min(initial=0) < 0 or cell.max(initial=0) >= len(self.source):
            raise UserError(f"{self.path} lacks cells that the shards name: fetch the set again.")
        return self.source[cell]


def read_cell_sources(root: Path, bank_digest: str) -> CellSources | None:
    """Of the set in `root`, whose shards were drawn from the bank of that digest; None where the bank is not there.
    UserError for a file that is damaged, or is another bank. No colour of a cell is read."""
    path = root / BANK
    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r") as file:
            source, names = (own_dataset(file, name) for name in ("source", "sources"))
            if not is_of(source, "u1") or names.dtype.kind != "S" or source.ndim != 1 or names.ndim != 1:
                raise ValueError("its sources are of another type")
            if not is_contiguous(source) or not is_contiguous(names):
                raise ValueError("its sources are not stored in one piece")
            found = CellSources(path, tuple(name.decode() for name in names[()].tolist()), source[()])
            digest = bytes(file.attrs["digest"]).decode()
        if found.source.max(initial=0) >= len(found.names):
            raise ValueError("a source is not in its list")
    except UNREADABLE as error:
        raise UserError(f"{path} is no whole bank ({first_line(error)}): fetch it again, or take it away.") from error
    if digest != bank_digest:
        raise UserError(f"{path} is not the bank that {root} was drawn from: put that there, or take this one away.")
    return found
