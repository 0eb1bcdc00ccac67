"""A recipe of small smears and the bank they are made from, for tests of whole builds."""

import hashlib
from pathlib import Path

import h5py
from synthetic_bank import synthetic_bank

from smearsynth.bank import bank_file
from smearsynth.verbs.build import BuildResult, build

COUNT = {"train": 20, "val": 5, "test": 3}
RECIPE = """\
version: 1
name: small
size: [72, 96]
count: {train: 20, val: 5, test: 3}
sources: [{kind: crops, root: not-read}]
looks: [natural]
shards: {samples: 7}
"""
SOURCE = {
    "kind": "crops",
    "title": "A ward's own cells",
    "version": None,
    "licence": "CC-BY-4.0",
    "redistribution": "allowed",
    "cite": "Somebody, 2020",
    "files": 1234,
    "sha256": "ab" * 32,
    "grouping": "image",
    "patients_known": False,
    "um_per_px": 0.1234,
    "refused": {"monocyte": {"cut": 7}},
    "files_left_out": {},
}
"""What an index may tell of a source, its name left out."""


def prepare(folder: Path, codec: str = "gzip") -> None:
    """Writes small.yaml and bank.h5."""
    (folder / "small.yaml").write_text(RECIPE.replace("samples: 7", f"samples: 7, codec: {codec}"))
    bank_file.save_bank(synthetic_bank(per_class=2, shrink=0.35), folder / "bank.h5")


def small_build(folder: Path, out: Path, *overrides: str, **options: object) -> BuildResult:
    """A build of small.yaml from bank.h5 by one worker, unless `options` say otherwise."""
    options = {"workers": 1, "bank": folder / "bank.h5", "progress": False, **options}
    return build(folder / "small.yaml", out=out, overrides=overrides, **options)


def contents(out: Path) -> dict[str, str]:
    """Relative path -> sha256 of every file under `out`."""
    files = [p for p in sorted(out.rglob("*")) if p.is_file()]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def naive_digest(out: Path) -> str:
    """The dataset digest from the pixels, by h5py and hashlib alone."""
    whole = hashlib.sha256()
    for split in ("train", "val", "test"):
        for path in sorted(out.glob(f"{split}-*.h5")):
            with h5py.File(path) as shard:
                for row in range(len(shard["label"])):
                    arrays = (shard[name][row] for name in ("image", "label", "instance"))
                    whole.update(hashlib.sha256(b"".join(a.tobytes() for a in arrays)).digest())
    return whole.hexdigest()
