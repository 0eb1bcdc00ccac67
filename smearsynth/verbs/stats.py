"""What a dataset holds, in figures or on one HTML page. Of an imported set, which has no cells, labels are counted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from smearsynth.base.command_line import columns
from smearsynth.base.errors import UserError, printable
from smearsynth.base.progress import with_progress
from smearsynth.dataset import layout
from smearsynth.dataset.index import classes_of, read_index
from smearsynth.dataset.index_schema import Count, Counts, Hash, IndexFile, IndexPart
from smearsynth.dataset.provenance import bank_of
from smearsynth.dataset.report_page import DatasetReportData, write_report
from smearsynth.dataset.statistics import Stats, figures, measure
from smearsynth.recipe.reading import read_resolved
from smearsynth.shards.reader import ShardReader
from smearsynth.taxonomy import IGNORE, SPLITS

_MISSING = "objects, combinations, sizes of cells, sources and refusals"
"""What only a set that was built from cells has."""
_COUNTED = ("samples", "images", "groups")


@dataclass(frozen=True, kw_only=True)
class ImportedStats:
    """What an imported set holds; printed, as a table.

    classes: keys, by id. sizes: samples of each size, "WIDTHxHEIGHT" in px. splits: per split, samples, images that
    they were cut from, groups, pixels per class key, and `ignored`, pixels that nobody knows. missing: what such a set
    has no figures of.
    """

    name: str
    digest: str
    um_per_px: float
    samples: int
    classes: tuple[str, ...]
    sizes: dict[str, int]
    splits: dict[str, dict[str, Any]]
    missing: str = _MISSING

    def __str__(self) -> str:
        sizes = ", ".join(f"{count:,} of {size} px" for size, count in self.sizes.items())
        head = f"{self.name}: {self.samples:,} imported images or patches at {self.um_per_px} um/px, {sizes}"
        by_split = []
        for part in self.splits.values():
            pixels = [*(part["pixels"][key] for key in self.classes), part["ignored"]]
            shares = (f"{n / max(1, sum(pixels)):.2%}" for n in pixels)
            by_split.append([*(f"{part[what]:,}" for what in _COUNTED), *shares])
        rows = list(zip([*_COUNTED, *self.classes, "ignored"], *by_split, strict=True))
        missing = f"not known: {self.missing}, for this set was not built from cells"
        text = "\n\n".join([head, columns(["class", *self.splits], rows, text=("class",)), missing])
        return "\n".join(printable(line) for line in text.split("\n"))


def stats(path: str | Path, *, progress: bool = True) -> Stats | ImportedStats:
    """Counts the dataset in `path`: its index, the tables of objects of all its smears, and the colours of some of
    them; of one that was imported, its labels.

    progress: a bar on stderr, or lines in a log. Raises UserError: no dataset, a damaged shard, an index that its
    shards contradict.

    >>> found = smearsynth.stats("quickstart", progress=False)
    >>> found.samples, found.splits["test"]["samples"]
    (500, 50)
    """
    folder = Path(path)
    index = read_index(folder)
    if isinstance(index, dict) and "imported" in index:
        return _imported(folder, progress)
    return figures(measure(folder, progress=progress))


class _ImportedSplit(IndexPart):
    samples: Count
    images: Count
    groups: Count
    pixels: Counts
    ignored: Count


class _ImportedSplits(IndexPart):
    train: _ImportedSplit
    val: _ImportedSplit
    test: _ImportedSplit


class _ImportedIndex(IndexPart):
    """The keys that are used of what `segtrain import` writes."""

    digest: Hash
    um_per_px: float
    samples: Count
    splits: _ImportedSplits
    files: tuple[IndexFile, ...]


def _imported(folder: Path, progress: bool) -> ImportedStats:
    """Reads every label."""
    path = folder / layout.INDEX
    try:
        index = _ImportedIndex.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; import the set again.") from None
    shards = [file for split in SPLITS for file in index.files if file.split == split]
    counted = {split: np.zeros(256, np.int64) for split in SPLITS}
    sizes: dict[str, int] = {}
    keys: tuple[str, ...] = ()
    for file in with_progress(shards, what="read", unit="shards", shown=progress):
        reader = ShardReader(folder / file.name)
        keys = tuple(c.key for c in classes_of(reader.path, reader.header))
        for row in range(len(reader)):
            label = reader.read("label", row)
            counted[str(file.split)] += np.bincount(label.ravel(), minlength=256)
            size = f"{label.shape[1]}x{label.shape[0]}"
            sizes[size] = sizes.get(size, 0) + 1
    splits = index.splits.model_dump()
    for split, pixels in counted.items():
        by_key = dict(zip(keys, pixels.tolist(), strict=False))
        if (splits[split]["pixels"], splits[split]["ignored"]) != (by_key, pixels[IGNORE]):
            raise UserError(f"{path} does not say what the shards of {split} hold: import it again.")
    return ImportedStats(
        name=folder.resolve().name,
        digest=index.digest,
        um_per_px=index.um_per_px,
        samples=index.samples,
        classes=keys,
        sizes=sizes,
        splits=splits,
    )


def report(path: str | Path, *, out: str | Path | None = None, progress: bool = True) -> Path:
    """Writes the page and gives its path: `out`, else NAME-report.html in the working directory.

    The page needs no other file and no network. Without cells.h5 it shows no gallery, and says so. progress: a bar on
    stderr, or lines in a log. Raises UserError: no dataset, a damaged part of it, an index that its shards
    contradict.

    >>> smearsynth.report("quickstart", out="quickstart.html", progress=False).name
    'quickstart.html'
    """
    folder = Path(path)
    page = Path(out) if out is not None else Path(f"{folder.resolve().name}-report.html")
    layout.check_outside(page)
    measured = measure(folder, progress=progress)
    data = DatasetReportData(
        index=read_index(folder),
        recipe=read_resolved(folder / layout.RECIPE),
        resolved=(folder / layout.RECIPE).read_text(encoding="utf-8"),
        bank=bank_of(folder, measured.index),
    )
    write_report(page, measured, data)
    return page
