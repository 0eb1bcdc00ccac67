"""A bank of somebody else, as --bank takes it or a set brings it: nothing but arrays in the file itself is read."""

import os
import tracemalloc
from pathlib import Path

import h5py
import pytest
from stored_elsewhere import SECRET, Change, linked, stored, viewed
from synthetic_bank import synthetic_bank

from smearsynth.bank import bank_file
from smearsynth.base.errors import UserError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bank") / "cells.h5"
    bank_file.save_bank(synthetic_bank(per_class=1), path)
    return path.read_bytes()


def claimed(file: h5py.File, folder: Path) -> None:  # noqa: ARG001
    """Two gigabytes of which the file holds nothing."""
    del file["pixels"]
    file.create_dataset("pixels", (2**29, 4), "u1")


def packed(file: h5py.File, folder: Path) -> None:  # noqa: ARG001
    """Two gigabytes of zeros, which pack to two megabytes."""
    del file["pixels"]
    file.create_dataset("pixels", (2**29, 4), "u1", chunks=(2**20, 4), compression="gzip")


CHANGES: dict[str, tuple[Change, str]] = {
    "a link to pixels elsewhere": (linked("pixels"), "has no dataset pixels of its own"),
    "a link to ids elsewhere": (linked("class_id"), "has no dataset class_id of its own"),
    "a link to names elsewhere": (linked("groups"), "has no dataset groups of its own"),
    "pixels in another file": (stored("pixels"), "pixels lies in another file"),
    "a view of another file": (viewed("pixels"), "pixels lies in another file"),
    "a size that is claimed": (claimed, "`pixels` is not stored in one piece"),
    "a size that is packed": (packed, "`pixels` is not stored in one piece"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_a_bank_may_not_be(whole: bytes, tmp_path: Path, kind: str) -> None:
    change, message = CHANGES[kind]
    for name in ("cells.h5", SECRET):
        (tmp_path / name).write_bytes(whole)
    with h5py.File(tmp_path / "cells.h5", "r+") as file:
        change(file, tmp_path)
    tracemalloc.start()
    with pytest.raises(UserError, match=rf"cells\.h5: not a whole bank \({message}\)"):
        bank_file.load_bank(tmp_path / "cells.h5")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_a_pipe_is_no_bank(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cells.h5")
    with pytest.raises(UserError, match="there is no such bank"):
        bank_file.load_bank(tmp_path / "cells.h5")
