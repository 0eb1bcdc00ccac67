"""Datasets as somebody makes them who changes a sample and then recomputes every digest, size and seal."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from small_set import naive_digest

from smearsynth.taxonomy import CLASSES


@contextmanager
def forged_shard(out: Path, name: str) -> Iterator[h5py.File]:
    """The shard, open for changes; then all digests are recomputed."""
    with h5py.File(out / name, "r+") as shard:
        yield shard
        for row in range(len(shard["label"])):
            arrays = (shard[key][row] for key in ("image", "label", "instance"))
            shard["digest"][row] = hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()
    with forged_index(out) as index:
        index["digest"] = naive_digest(out)
        split = name.split("-")[0]
        labels = [h5py.File(path)["label"][:] for path in out.glob(f"{split}-*.h5")]
        pixels = np.bincount(np.concatenate(labels, axis=None), minlength=len(CLASSES))
        index["splits"][split]["pixels"] = {c.key: int(pixels[c.id]) for c in CLASSES}


@contextmanager
def forged_index(out: Path) -> Iterator[dict[str, Any]]:
    """The index, to be changed; then sizes and sha256 of the files and its seal are recomputed.

    What the build keeps for itself is thrown away, as of a set that is handed on.
    """
    for path in [*(out / ".smearsynth").glob("*"), out / ".smearsynth"]:
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    index = json.loads((out / "index.json").read_text())
    yield index
    for file in index["files"]:
        path = out / file["name"]
        if path.is_file():
            file["size"], file["sha256"] = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    write_index(out, index)


def write_index(out: Path, index: dict[str, Any]) -> None:
    """Seals and writes an index as its docstring says."""
    rest = {key: value for key, value in index.items() if key != "seal"}
    index["seal"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    text = json.dumps(index, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (out / "index.json").write_text(text)
