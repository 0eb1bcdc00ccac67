"""The files of a set, each with its checksum, and the shards as one set of files."""

from pathlib import PurePosixPath
from typing import Any

from smearsynth.dataset import layout
from smearsynth.dataset.index import Index
from smearsynth.taxonomy import SPLITS

_HDF5 = "application/x-hdf5"
_TYPES = {
    ".h5": _HDF5,
    ".json": "application/json",
    ".lock": "text/plain",
    ".md": "text/markdown",
    ".png": "image/png",
    ".yaml": "application/yaml",
}
_ABOUT = {
    layout.RECIPE: "the recipe with every default written out",
    layout.BANK: "the cells that the smears are composited from",
    layout.LOCK: "sha256 and path of every file of the sources that was read",
    layout.CARD: "the card: what this file says, for people",
    layout.PREVIEW: "smears, each beside its label",
}


def distribution(index: Index) -> list[dict[str, Any]]:
    """What is handed on: without the bank where the set is not to be published. This file and the index, which holds
    its checksum, cannot be here.
    """
    left_out = {layout.CROISSANT} if index["publish"] else {layout.CROISSANT, layout.BANK}
    files = [_file(file) for file in index["files"] if file["name"] not in left_out]
    shards = {
        "@type": "cr:FileSet",
        "@id": "shards",
        "name": "shards",
        "description": "the smears, in HDF5; what they hold: record set `sample_fields`",
        "encodingFormat": _HDF5,
        "includes": [f"{split}-*.h5" for split in SPLITS],
    }
    return [*files, shards]


def _file(file: dict[str, Any]) -> dict[str, Any]:
    name = file["name"]
    split = f"{file['samples']} samples of {file['split']}" if "split" in file else ""
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "description": split or _ABOUT[name],
        "contentUrl": name,
        "contentSize": f"{file['size']} B",
        "encodingFormat": _TYPES[PurePosixPath(name).suffix],
        "sha256": file["sha256"],
    }
