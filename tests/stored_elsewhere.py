"""Datasets of an HDF5 file that somebody made to lie in another one, `secret.h5` beside it."""

from collections.abc import Callable
from pathlib import Path

import h5py

SECRET = "secret.h5"
Change = Callable[[h5py.File, Path], None]
"""A file that is open for writing, and the folder of the secret one."""


def linked(name: str) -> Change:
    def change(file: h5py.File, folder: Path) -> None:
        del file[name]
        file[name] = h5py.ExternalLink(str(folder / SECRET), name)

    return change


def stored(name: str) -> Change:
    def change(file: h5py.File, folder: Path) -> None:
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, "u1", external=[(str(folder / SECRET), 0, h5py.h5f.UNLIMITED)])

    return change


def viewed(name: str) -> Change:
    def change(file: h5py.File, folder: Path) -> None:
        layout = h5py.VirtualLayout(file[name].shape, "u1")
        layout[:] = h5py.VirtualSource(str(folder / SECRET), name, file[name].shape)
        del file[name]
        file.create_virtual_dataset(name, layout)

    return change
